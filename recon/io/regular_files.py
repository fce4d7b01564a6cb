"""Opening files of other people: regular ones alone, of bounded size, so that reading neither hangs nor fills the memory."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from recon.io.names import printable

MAX_FILE_BYTES = 1_000_000_000
"""Larger files are refused: no picture, depth map or annotation that is read here comes near."""


class FileKindError(ValueError):
    """A path that is no regular file, or a file that is too large or empty."""


def open_regular(path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> tuple[io.BufferedIOBase, int]:
    """A file opened for reading, and its size in bytes. What is checked is the opened file, not what was there before.

    Raises:
        FileKindError: a folder, pipe or device, empty, or over ``max_bytes``; nothing was read.
        OSError: as ``open`` says it: missing, forbidden.
    """
    name = printable(path)
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        if Path(path).is_dir():  # Windows opens no folders and says "forbidden"
            raise FileKindError(f"{name} is a folder, expected a file")
        descriptor = os.open(path, flags)
    except FileKindError:
        raise
    except ValueError as error:
        raise FileKindError(f"{name} is no path of a file: {error}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileKindError(f"{name} is a pipe, socket or device, expected a file")
        if found.st_size == 0:
            raise FileKindError(f"{name} is empty (0 bytes)")
        if found.st_size > max_bytes:
            raise FileKindError(
                f"{name} has {found.st_size / 1e6:.0f} MB, more than the {max_bytes / 1e6:.0f} MB that are read"
            )
        return os.fdopen(descriptor, "rb"), found.st_size
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a file; raises what :func:`open_regular` raises."""
    file, size = open_regular(path, max_bytes=max_bytes)
    with file:
        return file.read(size)
