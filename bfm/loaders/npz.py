"""NumPy archives: only plain arrays (never pickled objects), and damage is reported as damage."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError
from bfm.npy import read_npy_stream
from bfm.reading import LARGEST_FILE_BYTES, file_size


def read_npz(path: Path, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` file.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: not an archive, truncated, an array holds Python objects, or a needed name is missing.
    """
    file_size(path)
    try:
        with path.open("rb") as file:
            return _arrays(path, file, needed)
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error})") from error


def parse_npz(
    name: str, content: bytes, needed: Sequence[str], most: int = LARGEST_FILE_BYTES
) -> dict[str, np.ndarray]:
    """Arrays of an archive in memory; ``name`` stands for the file in messages, ``most`` bounds what it unpacks to.

    Raises:
        ModelFileError: as :func:`read_npz`.
    """
    return _arrays(Path(name), io.BytesIO(content), needed, most)


def _arrays(
    path: Path, file: io.BufferedReader | io.BytesIO, needed: Sequence[str], most: int = LARGEST_FILE_BYTES
) -> dict[str, np.ndarray]:
    try:
        if file.read(6) == b"\x93NUMPY":
            raise ModelFileError(path, "holds a single array; an .npz archive is needed")
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in needed if name not in members]
            if missing:
                raise ModelFileError(path, f"lacks {', '.join(missing)}; it holds: {', '.join(sorted(members))}")
            unpacked = sum(members[name].file_size for name in needed)
            if unpacked > most:
                raise ModelFileError(path, f"unpacks to {unpacked} bytes; at most {most} are expected")
            arrays = {}
            for name in needed:
                # A member never yields more than the size that its entry states.
                with archive.open(members[name]) as member:
                    arrays[name] = read_npy_stream(member, members[name].file_size)
            return arrays
    except ModelFileError:
        raise
    # zipfile and its decompressors raise whatever they meet in a damaged archive.
    except Exception as error:
        raise ModelFileError(path, f"not a readable .npz file, perhaps truncated ({error})") from error
