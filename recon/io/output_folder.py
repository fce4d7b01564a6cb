"""Folders of results: which are ours, who made them from what, and how one is replaced without losing anything.

An output folder holds one folder a result. Each has a record, :data:`RECORD`, of the files that were written, what they were
made from, and whose result it is. A folder without a record belongs to the user and is never written to; in one with a
record, files that the user added or changed are never deleted. Locks and results in the making lie in the hidden folder
:data:`WORK_FOLDER`, which is gone when no run is active.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.io.files import OutputError, write_file
from recon.io.fingerprint import Fingerprint, file_hash
from recon.io.locks import Lock, take_lock
from recon.io.names import folder_name, printable, same_name
from recon.io.parts import sync_folder

RECORD = ".facerecon.json"
WORK_FOLDER = ".facerecon"
_SCHEMA = "facerecon-result/1"
_MOVED = re.compile(r"(?P<key>.+)\.[0-9a-f]{16}\.(?P<kind>part|old)")
_EXTRA = re.compile(r"\.(face\d+)$", re.IGNORECASE)


class NotOursError(OutputError):
    """A folder or file that this project did not write, or that somebody changed since, is in the way."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What a folder of results says of itself.

    Attributes:
        owner: whose result it is: ``source`` and ``sha256`` of the picture, a number ``part`` within it, and ``kind`` if it is
            another kind of result than a head.
        facts: the :class:`~recon.io.fingerprint.Fingerprint` it was made from.
        files: SHA-256 of each file by its name, of those in folders below with a ``/`` in it.
        values: what else the maker wants to find again.
    """

    owner: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: Mapping[str, str]
    values: Mapping[str, Any]


def read_record(folder: Path) -> Record | None:
    """The record of a folder, or ``None`` if it is not a finished result of ours."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        parts = {name: dict(content[name]) for name in ("owner", "facts", "files", "values")}
        usable = content["schema"] == _SCHEMA and all(map(_is_below, parts["files"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Record(**parts) if usable else None


class OutputFolder:
    """A folder that results are written into, by one run or several at once.

    Args:
        root: made if it is not there. What killed runs left in :data:`WORK_FOLDER` is put in order.

    Raises:
        OutputError: it cannot be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / WORK_FOLDER
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = take_lock(self.work / f"probe-{secrets.token_hex(8)}", wait=True)
            assert probe is not None, "waited for"
            probe.release()
            self._recover()
        except OSError as error:
            raise OutputError(
                f"cannot write to {printable(root)}: {error.strerror or error}; choose another folder with -o"
            ) from error

    def close(self) -> None:
        """Remove the hidden folder if nobody uses it."""
        with contextlib.suppress(OSError):
            self.work.rmdir()

    def claim(self, names: Sequence[str], owner: Mapping[str, Any], *, wait: bool) -> Claim | None:
        """The first of ``names`` that holds results of this owner, or else that is free, locked for this process.

        Args:
            names: possible folder names, each as :func:`recon.io.names.folder_name` gives them, the preferred first.
            owner: ``source`` and ``sha256``: results belong to it if either is equal. ``kind``, if there is one, must be equal
                too for a result to be taken for finished, or to be replaced.
            wait: for other processes; otherwise ``None`` is returned if one is at work on the name.

        Raises:
            NotOursError: the preferred name is a folder or file of the user's.
            OutputError: all names are taken.
        """
        for k, name in enumerate(self._in_order(names, owner)):
            lock = take_lock(self.work / f"{_key(name)}.lock", wait=wait)
            if lock is None:
                return None
            try:
                if self._is_free_for(name, owner):
                    return Claim(self, name, owner, lock)
            except NotOursError:
                if k == 0:
                    lock.release()
                    raise
            except BaseException:
                lock.release()
                raise
            lock.release()
        raise OutputError(f"{printable(self.root)}: all of {', '.join(map(printable, names[:3]))} ... are taken")

    def _in_order(self, names: Sequence[str], owner: Mapping[str, Any]) -> list[str]:
        # The preferred one may be free although the owner's results lie in another from an earlier run.
        there = [*names[:1], *itertools.takewhile(lambda name: os.path.lexists(self.root / name), names[1:])]
        records = ((name, read_record(self.root / name)) for name in there)
        own = [name for name, record in records if record is not None and _is_of(record, owner)]
        return [*own, *(name for name in names if name not in own)]

    def _is_free_for(self, name: str, owner: Mapping[str, Any]) -> bool:
        place = self.root / name
        if os.path.lexists(place):
            record = read_record(place)
            if record is None:
                raise NotOursError(
                    f"{printable(place)} exists and is not a result that recon may replace; move it away, or choose "
                    "another folder with -o"
                )
            return _is_of(record, owner)
        key = same_name(name)
        return all(same_name(entry) != key for entry in os.listdir(self.root))

    def _recover(self) -> None:
        """Put in order what killed runs left: unfinished results go, results that were set aside come back."""
        for path in sorted(self.work.iterdir()):
            match = _MOVED.fullmatch(path.name)
            if match is None or path.is_symlink() or not path.is_dir():
                continue
            lock = take_lock(self.work / f"{match['key']}.lock", wait=False)
            if lock is None:
                continue  # a run is at work on it
            try:
                if match["kind"] == "part":
                    shutil.rmtree(path)
                else:
                    self._put_back(path)
            finally:
                lock.release()

    def _put_back(self, aside: Path) -> None:
        record = read_record(aside)
        name = None if record is None else record.values.get("folder")
        if record is None or not isinstance(name, str) or name != folder_name(name):
            return
        place = self.root / name
        if os.path.lexists(place):
            _delete(aside, record, place)
        else:
            aside.rename(place)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A name in an output folder that this process alone may write, until :meth:`release`."""

    folder: OutputFolder
    name: str
    owner: Mapping[str, Any]
    lock: Lock

    def release(self) -> None:
        """Let other processes have the name."""
        self.lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def part_name(self, part: int) -> str:
        """Name of the folder of one of the owner's results, counting from 0: ``NAME``, ``NAME.face2``, ``NAME.face3``, ..."""
        return self.name if part == 0 else f"{self.name}.face{part + 1}"

    def finished(self, part: int) -> Record | None:
        """The record of a result that is there, with all its files."""
        place = self.folder.root / self.part_name(part)
        record = read_record(place)
        if record is None or record.owner.get("part") != part or not _is_of(record, self.owner):
            return None
        if record.owner.get("kind") != self.owner.get("kind"):
            return None
        return record if all((place / name).is_file() for name in record.files) else None

    def check_replaceable(self, part: int) -> None:
        """Say now what would keep a result from being written.

        Raises:
            NotOursError: the folder is the user's, belongs to another picture, holds another kind of result, or files that were
                added or changed.
        """
        place = self.folder.root / self.part_name(part)
        if not os.path.lexists(place):
            return
        record = None if place.is_symlink() else read_record(place)
        if record is None or not _is_of(record, self.owner):
            raise NotOursError(f"{printable(place)} exists and is not a result of this picture; move it away")
        if record.owner.get("kind") != self.owner.get("kind"):
            raise NotOursError(
                f"{printable(place)} holds another kind of result of this picture ({record.owner.get('kind', 'head')}); choose "
                "another folder with -o"
            )
        for name in _entries(place):
            path = place / name
            if name == RECORD:
                continue
            if name not in record.files:
                raise NotOursError(
                    f"{printable(path)} was not written by recon; move it away to have the result made again"
                )
            if path.is_symlink() or not path.is_file() or file_hash(path) != record.files[name]:
                raise NotOursError(
                    f"{printable(path)} was changed since recon wrote it; move it away to have the result made again"
                )

    def write(
        self, part: int, facts: Fingerprint, fill: Callable[[Path], object], values: Mapping[str, Any] | None = None
    ) -> Path:
        """Make a result: ``fill`` writes files into an empty folder, which then takes the name's place as a whole.

        A result that is there is set aside until the new one is in place, and deleted then, file by file as its record says.

        Raises:
            NotOursError: see :meth:`check_replaceable`.
            OutputError: the disk is full or cannot be written to; what was there is there still.
        """
        self.check_replaceable(part)
        name = self.part_name(part)
        place = self.folder.root / name
        stem = f"{_key(self.name)}.{secrets.token_hex(8)}"
        making, aside = (self.folder.work / f"{stem}.{kind}" for kind in ("part", "old"))
        try:
            making.mkdir(parents=True)
            fill(making)
            content = {
                "schema": _SCHEMA,
                "owner": {**self.owner, "part": part},
                "facts": facts.facts,
                "files": {name: file_hash(making / name) for name in _entries(making)},
                "values": {**(values or {}), "folder": name},
            }
            write_file(making / RECORD, (json.dumps(content, indent=1) + "\n").encode())
            sync_folder(making)
            self.check_replaceable(part)  # the making took seconds
            old = read_record(place)
            if old is not None:
                place.rename(aside)
            try:
                making.rename(place)
            except OSError:
                if old is not None:
                    aside.rename(place)
                raise
            sync_folder(self.folder.root)
            if old is not None:
                _delete(aside, old, place)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"cannot write {printable(place)}: {error.strerror or error}") from error
        finally:
            if making.exists():
                shutil.rmtree(making)
        return place


def distinct_names(stems: Collection[str]) -> list[str]:
    """A folder name for each stem: safe, and no two that any file system takes for one.

    Stems that end as the folders of further faces do (``.face2``) lose the dot, so that those names are never a picture's.
    """
    taken: set[str] = set()
    names = []
    for stem in stems:
        for name in candidate_names(stem, len(stems) + 1):
            if same_name(name) not in taken:
                break
        taken.add(same_name(name))
        names.append(name)
    return names


def candidate_names(stem: str, count: int) -> list[str]:
    """``NAME``, ``NAME-2``, ... for a stem."""
    base = _EXTRA.sub(r"_\1", folder_name(stem))
    return [base if k == 0 else f"{base}-{k + 1}" for k in range(count)]


def _is_of(record: Record, owner: Mapping[str, Any]) -> bool:
    """A picture is known by its place, if it was edited there, and by its content, if it was moved."""
    return any(record.owner.get(key) == owner[key] for key in ("source", "sha256"))


def _delete(aside: Path, record: Record, place: Path) -> None:
    """Delete what the record lists. What the user put there meanwhile goes back to the result's place, or stays."""
    for name in _entries(aside):  # never through a link
        path, digest = aside / name, record.files.get(name)
        if path.is_file() and not path.is_symlink() and file_hash(path) == digest:
            path.unlink()
    _remove_empty(aside)
    for name in _entries(aside):
        if name == RECORD or os.path.lexists(place / name):
            continue
        with contextlib.suppress(FileExistsError, NotADirectoryError):  # a file where its folder was
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).rename(place / name)
    _remove_empty(aside)
    if [path.name for path in aside.iterdir()] == [RECORD]:
        (aside / RECORD).unlink()
        aside.rmdir()


def _remove_empty(folder: Path) -> None:
    """Remove empty folders below a folder."""
    for parent, _, _ in os.walk(folder, topdown=False):
        if Path(parent) != folder and not os.listdir(parent):
            os.rmdir(parent)


def _entries(folder: Path) -> list[str]:
    """Names of all files, links and empty folders in a folder and those below, with ``/`` between parts, in order."""
    found = []
    for parent, folders, files in os.walk(folder):
        inside = Path(parent)
        links = [name for name in folders if (inside / name).is_symlink()]
        found += [inside / name for name in (*files, *links)]
        if inside != folder and not files and not folders:
            found.append(inside)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _is_below(name: str) -> bool:
    """Whether a file of that name lies in the folder or in one below, whatever the record says."""
    return all(part not in ("", ".", "..") and Path(part).name == part for part in name.split("/"))


def _key(name: str) -> str:
    """File name of the lock of a name; the same for names that some file systems take for one."""
    return folder_name(same_name(name))
