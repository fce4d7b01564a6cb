"""Opening files of unknown origin: regular files only, and no more of them than was allowed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bfm.files import ModelFileError

LARGEST_FILE_BYTES = 4 << 30
"""No file of a published face model comes near this; nor may what a file unpacks to."""
LARGEST_TEXT_BYTES = 16 << 20


def file_size(path: Path, most: int = LARGEST_FILE_BYTES) -> int:
    """Bytes of a file.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: a folder, a device or a pipe (which would never end); unreadable, or over ``most`` bytes.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        raise ModelFileError(path, f"cannot be opened ({error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise ModelFileError(path, "is no regular file")
    if found.st_size > most:
        raise ModelFileError(path, f"has {found.st_size} bytes; at most {most} are expected of such a file")
    return found.st_size


def read_bytes(path: Path, most: int = LARGEST_FILE_BYTES) -> bytes:
    """The whole file; raises as :func:`file_size`."""
    size = file_size(path, most)
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)  # Python sets aside what is asked for
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error})") from error
    if len(content) != size:
        raise ModelFileError(path, f"had {size} bytes and changed while it was read")
    return content


def read_text(path: Path, most: int = LARGEST_TEXT_BYTES) -> str:
    """The whole file as UTF-8.

    Raises:
        ModelFileError: also when it is no UTF-8; otherwise as :func:`file_size`.
    """
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(path, f"is no UTF-8 text ({error})") from None
