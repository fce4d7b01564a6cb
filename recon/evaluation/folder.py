"""The folder that a long run writes to: checked before any work, and held by one process at a time."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from recon.evaluation.partial import PARTIAL_NAME, Journal
from recon.io.faults import UsageError
from recon.io.files import OutputError

REPORT_NAMES = (
    *("report.json", "report.md", "curve.png", "curve.csv", "landmarks.png"),
    *("differences.png", "now_curve.png", "heat_maps.png"),
)
"""All that a report may consist of; see :func:`recon.evaluation.report.write_report`."""

_PRIVATE = ".facerecon"


@contextlib.contextmanager
def report_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Journal]:
    """A folder for one report, with the journal of an interrupted run that is there; it is made if it is missing.

    A folder that was made and into which nothing was written is removed again.

    Raises:
        UsageError: a report is there and ``overwrite`` is False.
        OutputError: it cannot be written to, or another process works in it.
    """
    with held_folder(folder):
        there = [name for name in REPORT_NAMES if (folder / name).exists()]
        if there and not overwrite:
            raise UsageError(f"{folder / there[0]} exists; choose another folder with -o, or pass --overwrite")
        for name in (*there, PARTIAL_NAME):
            if (folder / name).is_dir():
                raise OutputError(f"cannot write {folder / name}: it is a folder, expected a file name")
        with Journal(folder / PARTIAL_NAME, overwrite=overwrite) as journal:
            yield journal


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """A folder that can be written to and that no other process holds; it is made if it is missing.

    The lock is advisory and ends with the process, however it ends.

    Raises:
        OutputError: as above.
    """
    import filelock

    made = _make(folder / _PRIVATE)
    lock = filelock.FileLock(folder / _PRIVATE / "lock", timeout=0)
    try:
        try:
            lock.acquire()
        except filelock.Timeout:
            raise OutputError(
                f"another process is writing to {folder}; wait until it has ended, or choose another folder with -o"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise OutputError(
                f"cannot lock {folder} ({error}); choose a folder on another file system with -o"
            ) from error
        try:
            _probe(folder)
            yield
        finally:
            _tidy(made, folder)
            lock.release()
    finally:
        # What was made for nothing goes; rmdir refuses where anything is.
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _make(folder: Path) -> Sequence[Path]:
    """Make a folder and its parents. Returns those that were not there, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to the folder {folder.parent}: {error.strerror or error}") from error
    return missing


def _probe(folder: Path) -> None:
    path = folder / f".{secrets.token_hex(8)}.part"
    try:
        path.write_bytes(b"")
        path.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to the folder {folder}: {error.strerror or error}") from error


def _tidy(made: Sequence[Path], folder: Path) -> None:
    """Remove the lock of a folder that was made by us and holds nothing else."""
    if folder in made and [path.name for path in folder.iterdir()] == [_PRIVATE]:
        (folder / _PRIVATE / "lock").unlink(missing_ok=True)
