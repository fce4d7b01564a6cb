"""Reads OpenEXR pictures of scan lines: float32 or half, uncompressed or ZIP, as Blender and this package write them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_LINES = {0: 1, 2: 1, 3: 16}
"""Lines in a chunk by compression: none, ZIPS, ZIP."""
_TYPES: dict[int, np.dtype] = {1: np.dtype("<f2"), 2: np.dtype("<f4")}


class ExrError(ValueError):
    """Bytes that are no OpenEXR picture of a kind that is read here."""


def decode_exr(data: bytes) -> dict[str, np.ndarray]:
    """Channels ``(H, W)`` float32 by name.

    Raises:
        ExrError: no EXR, truncated, tiled, several parts, another compression or pixel type.
    """
    try:
        return _decode(data)
    except (struct.error, IndexError, KeyError, zlib.error, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ExrError):
            raise
        raise ExrError(f"truncated or damaged EXR ({error})") from None


def _decode(data: bytes) -> dict[str, np.ndarray]:
    magic, version = struct.unpack_from("<ii", data, 0)
    if magic != 20000630:
        raise ExrError("not an OpenEXR file")
    if version & 0x1A00:
        raise ExrError("tiled, deep and multi-part EXR files are not read")
    attributes, place = _attributes(data, 8)
    compression = attributes["compression"][0]
    if compression not in _LINES:
        raise ExrError(f"EXR compression {compression} is not read; save it with ZIP")
    channels = _channels(attributes["channels"])
    left, top, right, bottom = struct.unpack("<iiii", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= 65536 and 0 < height <= 65536):
        raise ExrError(f"EXR of {width} x {height} px")
    result = {name: np.zeros((height, width), np.float32) for name, _ in channels}
    per_line = sum(width * kind.itemsize for _, kind in channels)
    count = -(-height // _LINES[compression])
    for start in struct.unpack_from(f"<{count}Q", data, place):
        first, size = struct.unpack_from("<ii", data, start)
        raw = data[start + 8 : start + 8 + size]
        lines = min(_LINES[compression], bottom - first + 1)
        if compression and size < lines * per_line:
            raw = _unpacked(zlib.decompress(raw))
        if len(raw) != lines * per_line or not top <= first <= bottom:
            raise ExrError(f"the lines from {first} hold {len(raw)} bytes, {lines * per_line} are expected")
        at = 0
        for line in range(first - top, first - top + lines):
            for name, kind in channels:
                result[name][line] = np.frombuffer(raw, kind, width, at)
                at += width * kind.itemsize
    return result


def _attributes(data: bytes, place: int) -> tuple[dict[str, bytes], int]:
    found = {}
    while data[place] != 0:
        name, place = _text(data, place)
        _, place = _text(data, place)
        (size,) = struct.unpack_from("<i", data, place)
        found[name] = data[place + 4 : place + 4 + size]
        place += 4 + size
    return found, place + 1


def _channels(data: bytes) -> list[tuple[str, np.dtype]]:
    found, place = [], 0
    while data[place] != 0:
        name, place = _text(data, place)
        kind, _, across, down = struct.unpack_from("<iB3xii", data, place)
        if kind not in _TYPES or (across, down) != (1, 1):
            raise ExrError(f"channel {name!r} is neither float nor half at full resolution")
        found.append((name, _TYPES[kind]))
        place += 16
    return found


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(b"\0", place)
    return data[place:end].decode("ascii"), end + 1


def _unpacked(packed: bytes) -> bytes:
    """Undo the differences of neighbours and the sorting of bytes by even and odd place."""
    steps = np.frombuffer(packed, np.uint8).astype(np.int64)
    steps[1:] -= 128
    values = (np.cumsum(steps) & 0xFF).astype(np.uint8)
    half = (len(values) + 1) // 2
    mixed = np.zeros_like(values)
    mixed[0::2], mixed[1::2] = values[:half], values[half:]
    return mixed.tobytes()
