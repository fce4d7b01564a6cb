"""PNG pictures that commands make: marked as ours, so that making them again replaces them and nothing else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from recon.io.files import OutputExistsError, write_file
from recon.io.names import printable
from recon.io.png import encode_png

_MARK = "drawn by facerecon"
_CHUNK = b"tEXtDescription\0" + _MARK.encode()
_LOOKED_AT = 4096
"""The text stands before the pixels."""


def marked_png_problem(path: Path) -> str | None:
    """Why such a picture may not take this name: a file is there that is not one of ours. ``None`` if it may."""
    if not os.path.lexists(path) or path.is_dir():
        return None  # a folder is named by the writing itself
    if path.is_file():  # pipes are not opened
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if _CHUNK in file.read(_LOOKED_AT):
                return None
    return f"{printable(path)} exists and was not made by recon: move it away, or choose another name"


def write_marked_png(path: Path, pixels: np.ndarray) -> None:
    """Write ``(H, W, 3)`` uint8 as PNG, in place of an older one of ours if there is one.

    Raises:
        OutputExistsError: a file is there that is not one of ours.
        OutputError: the folder is missing or cannot be written to.
    """
    problem = marked_png_problem(path)
    if problem is not None:
        raise OutputExistsError(problem)
    write_file(path, encode_png(pixels, _MARK), overwrite=True)
