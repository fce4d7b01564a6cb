"""Compiled code is kept where that is possible and safe, is never out of date, and never keeps a program from running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from bfm import compiled as module
from bfm.compiled import _private_and_writable, _SafeCache

ROOT = Path(__file__).resolve().parents[2]
_HELPER = """
from bfm.compiled import compiled
SCALE = {scale}

@compiled(inline="always")
def shifted(x):
    return x + {shift}
"""
_MAIN = """
import sys
from bfm.compiled import compiled
from helper import SCALE, shifted

@compiled()
def answer(x):
    return shifted(x) * SCALE

print(answer(1), sum(answer.stats.cache_hits.values()))
"""


class Kernels:
    """Two files with kernels, run in a new process each time. Numba's own places beside the source cannot be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "code"
        self.folder.mkdir()
        (self.folder / "__pycache__").touch()
        (self.folder / "run.py").write_text("import main\n")
        self.write(self.folder / "main.py", _MAIN)
        self.cache = folder / "cache"
        self.settings: dict[str, str | None] = {
            "FACERECON_CACHE": str(self.cache),
            "NUMBA_CACHE_DIR": None,
            "XDG_CACHE_HOME": None,
            "HOME": "/dev/null",
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self.helper()

    def helper(self, scale: int = 1, shift: int = 0) -> None:
        self.write(self.folder / "helper.py", _HELPER.format(scale=scale, shift=shift))

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.write_text(text)

    def start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, **self.settings}
        return subprocess.Popen(
            [sys.executable, str(self.folder / "run.py")],
            env={key: value for key, value in environment.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> tuple[int, int]:
        """What the kernel gives for 1, and how often its code was found on disk."""
        return self.result(self.start())[:2]

    @staticmethod
    def result(process: subprocess.Popen[str]) -> tuple[int, int, str]:
        said, faults = process.communicate(timeout=120)
        assert process.returncode == 0, faults
        number, hits = map(int, said.split())
        return number, hits, faults


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    return Kernels(tmp_path)


def test_code_is_kept_and_never_out_of_date(kernels: Kernels) -> None:
    assert kernels() == (1, 0)
    assert kernels() == (1, 1)
    kernels.helper(shift=10)  # a function that is compiled into another file's kernel
    assert kernels() == (11, 0)
    kernels.helper(shift=10, scale=2)  # a constant that is
    assert kernels() == (22, 0)
    kernels.helper()
    assert kernels() == (1, 1), "an earlier state has its own folder"


def test_users_choice_for_numba_holds(kernels: Kernels, tmp_path: Path) -> None:
    kernels.settings["NUMBA_CACHE_DIR"] = str(tmp_path / "chosen")
    assert kernels() == (1, 0)
    assert list((tmp_path / "chosen").rglob("*.nbi")) and not kernels.cache.exists()


@pytest.mark.parametrize("unwritable", ["/dev/null/cache", None])
def test_temporary_folder_where_no_cache_can_be_written(
    kernels: Kernels, tmp_path: Path, unwritable: str | None
) -> None:
    kernels.settings["FACERECON_CACHE"] = unwritable  # without it, the home folder is a file
    assert kernels() == (1, 0)
    (folder,) = tmp_path.glob("facerecon-kernels-*")
    assert folder.stat().st_mode & 0o777 == 0o700 and list(folder.rglob("*.nbi"))


def test_compiled_anew_where_nothing_can_be_kept(kernels: Kernels, tmp_path: Path) -> None:
    """Neither here, nor in a temporary folder that somebody else could fill with code."""
    kernels.settings["FACERECON_CACHE"] = "/dev/null/cache"
    folder = tmp_path / f"facerecon-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert kernels() == (1, 0)
    assert list(folder.iterdir()) == []


def test_folders_that_others_can_write_are_not_trusted(tmp_path: Path) -> None:
    assert _private_and_writable(tmp_path / "new" / "folder")
    assert _private_and_writable(tmp_path / "new" / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert not _private_and_writable(tmp_path / "link")
    (tmp_path / "new").chmod(0o770)
    assert not _private_and_writable(tmp_path / "new")
    (tmp_path / "file").touch()
    assert not _private_and_writable(tmp_path / "file")
    assert not _private_and_writable(tmp_path / "file" / "folder")


@pytest.mark.parametrize(("ending", "keep"), [("nbi", 0), ("nbc", 200)])
def test_damaged_files_are_made_again(kernels: Kernels, ending: str, keep: int) -> None:
    """As a power cut leaves them: numba does not wait until they are on the disk."""
    kernels()
    for path in kernels.cache.rglob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:keep])
    number, hits, said = kernels.result(kernels.start())
    assert (number, hits) == (1, 0) and "is damaged" in said
    assert kernels() == (1, 1)


def test_processes_share_the_folder(kernels: Kernels) -> None:
    for process in [kernels.start() for _ in range(3)]:
        assert kernels.result(process)[0] == 1
    assert kernels() == (1, 1)


def test_old_folders_are_removed(kernels: Kernels) -> None:
    kernels()
    (base,) = kernels.cache.iterdir()
    used = {path.name for path in base.iterdir()}
    assert len(used) == 2 and all(module._FOLDER_NAME.fullmatch(name) for name in used)
    old = ("bfm.surface-0123456789abcdef", f".{32 * 'a'}.old", "mine", "bfm.surface-0123456789abcdef.bak")
    for name in old:
        (base / name / "deeper").mkdir(parents=True)
        os.utime(base / name, (0, 0))
    (base / "bfm.surface-fedcba9876543210").symlink_to(kernels.folder)
    for name in used:
        os.utime(base / name, (0, 0))
    assert kernels() == (1, 0), "its own folder was unused as long"
    left = {path.name for path in base.iterdir()}
    assert left == {*used, "mine", "bfm.surface-0123456789abcdef.bak", "bfm.surface-fedcba9876543210"}
    assert (kernels.folder / "main.py").exists()


def test_full_disk_is_said_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    class Store:
        cache_path = "/somewhere"
        enabled = True

        def save_overload(self, signature: object, data: object) -> None:
            raise OSError(28, "No space left on device")

        def disable(self) -> None:
            self.enabled = False

    store = Store()
    _SafeCache(store).save_overload(None, None)
    assert not store.enabled and "No space left on device" in caplog.text


def test_kernels_of_others_are_left_alone() -> None:
    import bfm.surface  # noqa: F401

    assert numba.config.CACHE_DIR == os.environ.get("NUMBA_CACHE_DIR", "")


def test_every_kernel_of_the_project_is_kept_like_this() -> None:
    pattern = re.compile(r"numba\.(njit|jit|vectorize|guvectorize)|cache=True")
    users = {
        path.relative_to(ROOT).as_posix()
        for package in ("recon", "bfm", "losses")
        for path in (ROOT / package).rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert users == {"bfm/compiled.py"}
