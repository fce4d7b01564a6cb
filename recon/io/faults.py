"""Errors as people read them: one line, and a log file for what only a developer can use."""

from __future__ import annotations

import datetime
import errno
import os
import secrets
import sys
import tempfile
import traceback
from pathlib import Path

from recon.io.names import printable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class UsageError(ValueError):
    """What was asked for cannot be done as it was asked: exit code 2."""


def reason(error: BaseException) -> str:
    """One printable line: the message of an error; with its type where the message alone says too little.

    Errors of this project and of the operating system speak for themselves; those of other code get their type in front.
    """
    text = printable(" ".join(str(error).split()))
    ours = type(error).__module__.partition(".")[0] in ("recon", "bfm", "losses")
    if text and (ours or isinstance(error, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def complain(command: str, text: str, code: int) -> int:
    """Write a line to the standard error in the name of a command, and return its exit code."""
    sys.stderr.write(f"{command}: {printable(text)}\n")
    return code


def ends_the_run(error: BaseException) -> bool:
    """Whether an error would come again for every other item: a full or read-only disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return False


def write_log(error: BaseException, command: str) -> Path | None:
    """The traceback in a new file of the temporary folder; ``None`` if none can be written."""
    text = "".join(traceback.format_exception(error))
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    path = Path(tempfile.gettempdir()) / f"recon-{now.replace(':', '')}-{secrets.token_hex(4)}.log"
    content = f"{now}\n{printable(command)}\n\n{text}".encode("utf-8", errors="backslashreplace")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        return None
    return path
