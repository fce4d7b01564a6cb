"""The folder that a long run writes to: checked before any work, and held by one process at a time."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from recon.evaluation.journal import PARTIAL_NAME, Journal, announced_files
from recon.evaluation.reports.result import files_of_report, raw_report
from recon.io.faults import UsageError
from recon.io.files import OutputError
from recon.io.fingerprint import file_hash
from recon.io.locks import take_lock
from recon.io.names import printable

REPORT_NAMES = (
    *("report.json", "report.md", "curve.png", "curve.csv", "landmarks.png"),
    *("differences.png", "now_curve.png", "heat_maps.png"),
)
"""All that a report may consist of; see :func:`recon.evaluation.reports.report.write_report`."""

_PRIVATE = ".facerecon"


@contextlib.contextmanager
def report_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Journal]:
    """A folder for one report, with the journal of an interrupted run that is there; it is made if it is missing.

    A folder that was made and into which nothing was written is removed again.

    Raises:
        UsageError: a report is there and ``overwrite`` is False.
        OutputError: it cannot be written to, another process works in it, or a file that is in the way is not of a report.
    """
    with held_folder(folder):
        there = [name for name in REPORT_NAMES if (folder / name).exists()]
        if there and not overwrite:
            raise UsageError(f"{folder / there[0]} exists; choose another folder with -o, or pass --overwrite")
        for name in (*there, PARTIAL_NAME):
            if (folder / name).is_dir():
                raise OutputError(f"cannot write {folder / name}: it is a folder, expected a file name")
        _check_replaceable(folder, there)
        with Journal(folder / PARTIAL_NAME, overwrite=overwrite) as journal:
            yield journal


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """A folder that can be written to and that no other process holds; it is made if it is missing.

    The lock is advisory and ends with the process, however it ends. Folders that were made and are empty in the end go.

    Raises:
        OutputError: as above.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(8)}.part"
        probe.write_bytes(b"")
        probe.unlink()
        lock = take_lock(folder / _PRIVATE / "evaluate.lock", wait=False)
    except OSError as error:
        _remove_empty(missing)
        raise OutputError(
            f"cannot write to {printable(folder)}: {error.strerror or error}; choose another folder with -o"
        ) from error
    if lock is None:
        raise OutputError(
            f"another run is writing to {printable(folder)}; wait until it has ended, or choose another folder with -o"
        )
    try:
        yield
    finally:
        lock.release()
        _remove_empty([folder / _PRIVATE, *missing])


def _remove_empty(folders: list[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):  # where anything is in it, it stays
            path.rmdir()


def _check_replaceable(folder: Path, names: list[str]) -> None:
    """Refuse to replace what is no part of the report that is there, or was changed since.

    Raises:
        OutputError: naming the file.
    """
    if not names:
        return
    report, written, announced = raw_report(folder), files_of_report(folder), announced_files(folder / PARTIAL_NAME)
    for name in names:
        if name == "report.json" and report:
            continue
        digest = file_hash(folder / name)
        if digest == announced.get(name):
            continue  # a run that was killed while it wrote its report
        if not report:
            raise OutputError(
                f"{folder / name} was not written by 'recon evaluate' (no report.json of its own lies there); move it away, "
                "or choose another folder with -o"
            )
        # Reports of earlier versions do not say what they wrote.
        if "written" in report and digest != written.get(name):
            raise OutputError(
                f"{folder / name} was added or changed since the report was written; move it away, or choose another folder "
                "with -o"
            )
