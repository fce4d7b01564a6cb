"""Writing files so that nothing half-written is ever seen under their names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from recon.io.parts import open_part, sync_folder


class OutputExistsError(FileExistsError):
    """A file to be written is already there."""


class OutputError(OSError):
    """A file cannot be written where it was asked for."""


def write_file(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> Path:
    """Write one file; see :func:`write_files`."""
    return write_files({Path(path): data}, overwrite=overwrite)[0]


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool = False) -> list[Path]:
    """Write files that belong together: each to a temporary name beside its own, then all renamed.

    Raises:
        OutputExistsError: one of them is there and ``overwrite`` is False; nothing is written.
        OutputError: a folder is missing or cannot be written to; no temporary file remains.
    """
    for path in contents:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder, expected a file name")
        if not path.parent.is_dir():
            state = "is a file" if path.parent.exists() else "does not exist"
            raise OutputError(f"cannot write {path}: the folder {path.parent} {state}; create it first")
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; pass overwrite=True to replace it")
    temporary: dict[Path, Path] = {}
    try:
        with contextlib.ExitStack() as opened:  # closed after renaming, because an open part is known to be alive
            for path, data in contents.items():
                temporary[path], file = open_part(path.parent)
                opened.enter_context(file)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if os.name == "nt":
                opened.close()  # Windows renames closed files only
            for path, part in temporary.items():
                os.replace(part, path)
        for folder in {path.parent for path in contents}:
            sync_folder(folder)
    except OSError as error:
        raise OutputError(f"cannot write {', '.join(map(str, contents))}: {error.strerror or error}") from error
    finally:
        for part in temporary.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return list(contents)
