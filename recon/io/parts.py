"""Temporary files that tell for themselves whether their writer still lives, and the step from there to the final name."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: leftovers of killed runs stay there
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\.[0-9a-f]{16}\.part")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def open_part(folder: Path) -> tuple[Path, BinaryIO]:
    """A new temporary file in a folder, open for writing.

    It is locked until it is closed, so that :func:`remove_leftovers` of another process leaves it alone.
    """
    while True:
        path = folder / f".{secrets.token_hex(8)}.part"
        file = open(path, "xb")
        try:
            if fcntl is not None:
                with contextlib.suppress(
                    OSError
                ):  # a file system without locks: nobody can take it for a leftover there
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            if _is_still(path, file.fileno()):
                return path, file
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        file.close()  # somebody took it for a leftover between making and locking


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of :func:`open_part` in a folder whose writers were killed, and no others."""
    if fcntl is None or not folder.is_dir():
        return
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) is None:
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, no plain file, locked by its writer, or not ours to delete
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(path, descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)


def write_new(path: Path, data: bytes, folder: Path | None = None) -> bool:
    """Write a whole file unless its name is taken; returns whether it was written.

    Of several processes that do this at once exactly one writes, and the others find its whole file.

    Args:
        path: where.
        data: all of it.
        folder: for the temporary file, on the same file system; by default that of ``path``.
    """
    part, file = open_part(folder or path.parent)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            written = place(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    return written


def place(part: Path, path: Path) -> bool:
    """Give a whole file its final name unless that is taken; returns whether it was. If not, ``part`` stays."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):  # a file system without hard links: between this look and the next line lies no lock
            return False
        os.rename(part, path)
        return True
    part.unlink()
    return True


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
