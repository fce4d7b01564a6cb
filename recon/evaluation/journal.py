"""The partial file of a run: what is finished, kept line by line until the report is written.

The first line says what the run is made from (:class:`recon.io.fingerprint.Fingerprint`), each further line is one finished
item. Lines are on the disk before the next item begins, so a run that ends in any way loses the item it was at, no more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from recon.io.faults import UsageError
from recon.io.files import OutputError, write_file
from recon.io.fingerprint import Fingerprint

SCHEMA = "facerecon-partial/1"
PARTIAL_NAME = "report.partial.jsonl"
_REPORT = "/report"
"""Stands where the name of an item does; no item has such a name."""


class Journal:
    """Finished items of one run in one file, to be used in a ``with`` statement or closed.

    Only one process may have it open; see :mod:`recon.evaluation.report_folder`.

    Args:
        path: of the file.
        overwrite: replace a file of a run that was made from something else.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self._overwrite = overwrite
        self._file: BinaryIO | None = None
        self._records: dict[str, dict[str, Any]] = {}
        self._n_items = 0

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def begin(self, facts: Mapping[str, Any], n_items: int) -> None:
        """Go on from the file if it is of this run, or begin it.

        Args:
            facts: what the run is made from, besides the files of its items.
            n_items: how many there will be, for messages.

        Raises:
            UsageError: the file is of another run, or no partial file.
            OutputError: it cannot be written.
        """
        now = Fingerprint(facts)
        self._n_items = n_items
        found, length = _read(self.path)
        if found:
            changed = now.difference(found[0]["facts"])
            if changed and len(found) > 1 and not self._overwrite:
                n_samples = sum(not record.get("apart", False) for record in found[1:])
                raise UsageError(
                    f"{self.path} keeps {n_samples} samples of an unfinished run that was another: {changed}. Choose "
                    "another folder with -o, or pass --overwrite to begin anew"
                )
            if changed:
                found = []
        if not found:
            header = json.dumps({"schema": SCHEMA, "facts": now.facts}).encode() + b"\n"
            write_file(self.path, header, overwrite=True)
            length = len(header)
        self._records = {record["name"]: record for record in found[1:]}
        try:
            self._file = open(self.path, "r+b")
            self._file.truncate(length)  # a line that a killed run began
            self._file.seek(length)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def find(self, name: str, inputs: str) -> Mapping[str, Any] | None:
        """The record of an item, if it was made from the same files."""
        record = self._records.get(name)
        return record if record is not None and record.get("inputs") == inputs else None

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep a finished item; it is on the disk when this returns.

        Raises:
            OutputError: it cannot be written; the lines before are whole.
        """
        assert self._file is not None, "begin comes first"
        start = self._file.tell()
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException as error:
            self._cut(start)
            if isinstance(error, OSError):
                raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
            raise
        self._records[record["name"]] = dict(record)

    def announce(self, written: Mapping[str, str]) -> None:
        """Say which files the report is about to write (SHA-256 by name), so that they are known if it is killed meanwhile."""
        self.add({"name": _REPORT, "inputs": "", "apart": True, "written": dict(written)})

    @property
    def n_kept(self) -> int:
        """Samples in the file: measured, failed or left out."""
        return sum(not record.get("apart", False) for record in self._records.values())

    def kept(self) -> str:
        """What is kept, for whom the run was interrupted."""
        if self._file is None and not self._records and self.path.exists():
            return f"the samples of an earlier run are kept in {self.path}; the same command goes on from there"
        if self.n_kept == 0:
            return "no sample was finished"
        return (
            f"{self.n_kept} of {max(self._n_items, self.n_kept)} samples are kept in {self.path}; the same command goes on "
            "from there"
        )

    def remove(self) -> None:
        """Remove the file: what it kept is in the report now."""
        if self._file is None:
            return
        ours = os.fstat(self._file.fileno())
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(ours, os.stat(self.path)):
                self.path.unlink()
        self._close()
        self._records = {}

    def close(self) -> None:
        """Leave the file for the next run, unless nothing is in it."""
        if self._file is not None and not self._records:
            self.remove()
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _cut(self, length: int) -> None:
        """Drop a line that was not written whole, with whatever the buffer still holds of it."""
        self._close()
        with contextlib.suppress(OSError):
            file = open(self.path, "r+b")
            file.truncate(length)
            file.seek(length)
            self._file = file


def announced_files(path: Path) -> dict[str, str]:
    """What :meth:`Journal.announce` said last in a partial file; empty if there is none.

    Raises:
        UsageError, OutputError: as :meth:`Journal.begin` does.
    """
    found = [record for record in _read(path)[0] if record.get("name") == _REPORT]
    written = found[-1].get("written") if found else None
    return dict(written) if isinstance(written, dict) else {}


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a partial file, and how many bytes of it are whole lines; nothing if there is none.

    Raises:
        UsageError: another kind of file.
        OutputError: it cannot be read.
    """
    if not path.exists():
        return [], 0
    found: list[dict[str, Any]] = []
    length = 0
    try:
        with open(path, "rb") as file:
            for line in file:
                content = _content(line)
                if not found and (content.get("schema") != SCHEMA or not isinstance(content.get("facts"), dict)):
                    raise UsageError(
                        f"{path} is no partial file of 'recon evaluate'; move it away, or choose another folder"
                    )
                if not line.endswith(b"\n"):
                    break
                length += len(line)
                # A damaged line costs its item, which is measured again.
                if not found or isinstance(content.get("name"), str):
                    found.append(content)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
    if not found:
        raise UsageError(f"{path} is no partial file of 'recon evaluate'; move it away, or choose another folder")
    return found, length


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
