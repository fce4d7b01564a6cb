"""NumPy's ``.npy`` files, their headers read by our own rules.

``numpy.load`` evaluates the header's text and takes whatever type it describes; here it must describe plain numbers or
texts and a size that the file really has.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from bfm.files import ModelFileError
from bfm.plain import ArrayFault, plain_array, plain_dtype, plain_shape, plain_size
from bfm.reading import LARGEST_FILE_BYTES, file_size

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_PYTHON_2_LONG = re.compile(r"\b(\d+)L\b")


@runtime_checkable
class Readable(Protocol):
    """A file, or a member of an archive."""

    def read(self, count: int, /) -> bytes: ...


class NpyHeader(NamedTuple):
    """What a file says of its array; ``descr`` is not yet taken for a type."""

    descr: object
    shape: tuple[int, ...]
    order: str


def read_npy(path: Path, most: int = LARGEST_FILE_BYTES) -> np.ndarray:
    """The array of an ``.npy`` file of plain numbers or texts.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: damaged, cut off, of another kind, over ``most`` bytes, or holding Python objects.
    """
    size = file_size(path, most)
    try:
        with path.open("rb") as file:
            return read_npy_stream(file, size)
    except ArrayFault as fault:
        raise ModelFileError(path, f"not a readable .npy file ({fault})") from None
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error})") from error


def read_npy_stream(file: Readable, size: int) -> np.ndarray:
    """The array of an ``.npy`` stream of ``size`` bytes.

    Raises:
        ArrayFault: as :func:`read_npy`, without a file name.
    """
    header = read_npy_header(file)
    dtype = plain_dtype(header.descr)
    wanted = plain_size(dtype, header.shape)
    if wanted > size:
        raise ArrayFault(f"cut off: {dtype.str} {header.shape} has {wanted} bytes, the file {size} in all")
    return plain_array(file.read(wanted), dtype, header.shape, header.order)


def read_npy_header(file: Readable) -> NpyHeader:
    """The header; the stream then stands at the data.

    Raises:
        ArrayFault: no header of format 1 to 3.
    """
    start = file.read(8)
    if len(start) != 8 or start[:6] != _MAGIC or start[6] not in (1, 2, 3):
        raise ArrayFault("it does not begin as one")
    width = 2 if start[6] == 1 else 4
    raw = file.read(width)
    length = int.from_bytes(raw, "little")
    if len(raw) != width or length > _LONGEST_HEADER:
        raise ArrayFault(f"a header of {length} bytes")
    text = file.read(length).decode("utf-8" if start[6] == 3 else "latin1", errors="replace")
    try:
        found = ast.literal_eval(_PYTHON_2_LONG.sub(r"\1", text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ArrayFault(f"an unreadable header, {type(error).__name__}") from None
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise ArrayFault("a header without descr, fortran_order and shape")
    if not isinstance(found["shape"], tuple):
        raise ArrayFault("a header whose shape is no tuple")
    return NpyHeader(found["descr"], plain_shape(found["shape"]), "F" if found["fortran_order"] is True else "C")
