"""Commits are named only for files that git tracks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from recon.io.git import commit_of, git

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "recon").mkdir(parents=True)
    (place / "recon" / "code.py").write_text("a = 1\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *arguments], cwd=place, check=True)
    return place


@needs_git
def test_a_tracked_file_has_a_commit_and_changes_are_told(repository: Path) -> None:
    commit = commit_of(repository / "recon" / "code.py")
    assert len(commit) == 12 and git(repository, "rev-parse", "HEAD").startswith(commit)
    (repository / "recon" / "code.py").write_text("a = 2\n")
    assert commit_of(repository / "recon" / "code.py") == f"{commit}+changes"


@needs_git
def test_an_installed_copy_inside_a_foreign_repository_has_none(repository: Path) -> None:
    place = repository / ".venv" / "recon"
    place.mkdir(parents=True)
    (place / "code.py").write_text("a = 1\n")
    assert commit_of(place / "code.py") == "" and commit_of(repository.parent / "none.py") == ""


@needs_git
def test_variables_of_another_repository_do_not_matter(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = commit_of(repository / "recon" / "code.py")
    monkeypatch.setenv("GIT_DIR", str(repository.parent / "elsewhere"))
    assert commit_of(repository / "recon" / "code.py") == commit


def test_without_git_there_is_no_commit_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git(tmp_path, "rev-parse", "HEAD") == "" and commit_of(Path(__file__)) == ""


@needs_git
def test_a_failing_command_says_nothing(tmp_path: Path) -> None:
    assert git(tmp_path, "no-such-command") == ""
