"""Arrays of plain numbers and texts from foreign bytes: every size is checked before anything is allocated."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

_KINDS = re.compile(r"[<>|=]?(\?|b1|[iu][1248]|f[248]|c8|c16|[SU]([0-9]{1,7}))")
_LONGEST_TEXT = 1 << 20
_LAST_CODE_POINT = 0x10FFFF


class ArrayFault(ValueError):
    """Bytes, type and shape that do not make an array; the message does not name the file."""


def plain_dtype(text: object) -> np.dtype:
    """The type that a description such as ``<f4``, ``b1`` or ``U12`` names.

    numpy's own constructor understands far more (objects, structures, flags); nothing of that is let through.

    Raises:
        ArrayFault: anything but booleans, integers, floats of 2 to 8 bytes, complex numbers and texts.
    """
    match = _KINDS.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[2] or 0) > _LONGEST_TEXT:
        raise ArrayFault(f"an array of type {str(text)[:40]!r}, which is none of plain numbers or texts")
    return np.dtype(str(text))


def plain_shape(values: object) -> tuple[int, ...]:
    """A shape.

    Raises:
        ArrayFault: not a sequence of up to 32 whole numbers from 0.
    """
    if not isinstance(values, (tuple, list)) or len(values) > 32 or not all(type(n) is int and n >= 0 for n in values):
        raise ArrayFault(f"an array of shape {str(values)[:80]}")
    if math.prod(values) >= 2**62 or any(n >= 2**62 for n in values):
        raise ArrayFault(f"an array of shape {str(values)[:80]}, which no memory holds")
    return tuple(values)


def plain_size(dtype: np.dtype, shape: Sequence[int]) -> int:
    """Bytes of an array, in whole numbers that do not overflow."""
    return dtype.itemsize * math.prod(shape)


def plain_array(
    data: bytes | bytearray | memoryview, dtype: np.dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    """A writable array with a copy of these bytes.

    Args:
        data: exactly as many bytes as the array has.
        dtype: of :func:`plain_dtype`.
        shape: of :func:`plain_shape`.
        order: ``"C"`` or ``"F"``: how the bytes run.

    Raises:
        ArrayFault: another number of bytes, or text that is no Unicode.
    """
    wanted = plain_size(dtype, shape)
    if len(data) != wanted:
        raise ArrayFault(f"{len(data)} bytes for an array of {dtype.str} {shape}, which has {wanted}")
    if wanted == 0:
        return _empty(dtype, shape)
    if dtype.kind == "b":  # other bytes than 0 and 1 are no booleans, and numpy does not check them
        flat = np.frombuffer(data, np.uint8) != 0
    else:
        flat = np.frombuffer(data, dtype).copy()
    if dtype.kind == "U":
        codes = np.frombuffer(data, np.dtype(f"{dtype.str[0]}u4"))
        if codes.max() > _LAST_CODE_POINT:
            raise ArrayFault("a text that is no Unicode")
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _empty(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if math.prod(shape) > 0:  # texts of no length, which numpy would make one character long
        raise ArrayFault(f"an array of {dtype.str} {shape}")
    try:
        return np.zeros(shape, dtype)
    except (ValueError, MemoryError) as error:
        raise ArrayFault(f"an array of shape {shape} ({error})") from None
