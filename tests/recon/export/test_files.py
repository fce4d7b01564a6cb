"""Nothing half-written, nothing overwritten unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recon.export import ExportMesh, OutputError, OutputExistsError, write_file, write_files, write_glb, write_obj


def test_existing_files_need_overwrite(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a ö.bin", b"old")
    with pytest.raises(OutputExistsError, match="a ö.bin exists; pass overwrite=True"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    write_file(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_one_existing_file_keeps_all_from_being_written(mesh: ExportMesh, tmp_path: Path) -> None:
    (tmp_path / "head.png").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="head.png"):
        write_obj(tmp_path / "head.obj", mesh)
    assert [path.name for path in tmp_path.iterdir()] == ["head.png"]


def test_places_that_cannot_be_written(mesh: ExportMesh, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="folder .*nowhere does not exist; create it first"):
        write_glb(tmp_path / "nowhere" / "head.glb", mesh)
    with pytest.raises(OutputError, match="is a file"):
        write_glb(tmp_path / "file" / "head.glb", mesh)
    with pytest.raises(OutputError, match="it is a folder"):
        write_file(tmp_path, b"", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_file(tmp_path / "a.bin", b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_files({old: b"new", tmp_path / "b.bin": b"new"}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert old.read_bytes() == b"old"


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a.bin", b"new")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            write_file(tmp_path / "a.bin", b"")
    finally:
        tmp_path.chmod(0o700)
