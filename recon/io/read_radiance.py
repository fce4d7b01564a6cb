"""Reads Radiance ``.hdr`` pictures (Ward 1991, "Real pixels"): a shared exponent a pixel, lines plain or run-length coded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from bfm.compiled import compiled
from recon.io.pictures import MAX_DECODED_BYTES, MAX_FILE_PIXELS

_RESOLUTION = re.compile(rb"-Y (\d{1,6}) \+X (\d{1,6})\n")
_HEADER_BYTES = 1 << 16
_BLOCK_PIXELS = 1 << 20
_SCALE = np.where(np.arange(256) > 0, np.ldexp(1.0, np.arange(256) - 136), 0.0).astype(np.float32)
"""By exponent; products with nine bits are exact in float32."""
_TRUNCATED, _DAMAGED = -1, -2


class RadianceError(ValueError):
    """Bytes that are no Radiance picture of a kind that is read here."""


@dataclasses.dataclass(frozen=True)
class RadianceHeader:
    """Size in px, and where the lines begin."""

    width: int
    height: int
    start: int


def decode_radiance(data: bytes) -> Float[np.ndarray, "h w 3"]:
    """The whole picture, float32.

    Raises:
        RadianceError: another format or orientation, truncated, or more pixels than the limits of
            :mod:`recon.io.pictures` allow.
    """
    header = read_radiance_header(data)
    taken = 12 * header.width * header.height + len(data)
    if taken > MAX_DECODED_BYTES:
        raise RadianceError(f"its {header.width} x {header.height} px take {taken / 1e9:.1f} GB; reduce it first")
    picture = np.zeros((header.height, header.width, 3), np.float32)
    for first, block in radiance_blocks(data, header):
        picture[first : first + len(block)] = block
    return picture


def read_radiance_header(data: bytes) -> RadianceHeader:
    """Size of the picture; raises :class:`RadianceError`."""
    if not data.startswith((b"#?RADIANCE", b"#?RGBE")):
        raise RadianceError("it does not begin as a Radiance picture")
    head = _RESOLUTION.search(data, 0, _HEADER_BYTES)
    if head is None or b"FORMAT=32-bit_rle_rgbe" not in data[: head.start()]:
        raise RadianceError("only RGBE pictures with the resolution '-Y height +X width' are read")
    height, width = int(head.group(1)), int(head.group(2))
    if not (0 < height <= 32768 and 0 < width <= 65536) or width * height > MAX_FILE_PIXELS:
        raise RadianceError(f"it claims {width} x {height} px; up to {MAX_FILE_PIXELS / 1e6:.0f} million are read")
    return RadianceHeader(width, height, head.end())


def radiance_blocks(data: bytes, header: RadianceHeader) -> Iterator[tuple[int, Float[np.ndarray, "lines w 3"]]]:
    """The picture from top to bottom, some lines at a time: the number of the first, and float32 radiance.

    Raises:
        RadianceError: truncated, or damaged runs.
    """
    values, at = np.frombuffer(data, np.uint8), header.start
    step = max(1, _BLOCK_PIXELS // header.width)
    for first in range(0, header.height, step):
        planes = np.zeros((min(step, header.height - first), 4, header.width), np.uint8)
        at = _read_lines(values, at, planes)
        if at == _TRUNCATED:
            raise RadianceError("it is truncated")
        if at == _DAMAGED:
            raise RadianceError("its runs are damaged")
        rgbe = np.moveaxis(planes, 1, -1)
        yield first, (rgbe[..., :3].astype(np.float32) + np.float32(0.5)) * _SCALE[rgbe[..., 3]][..., None]


@compiled()
@no_type_check
def _read_lines(data, at, planes):
    """Fill ``planes`` (lines, 4, W) from a place on; the place after them, or what is wrong. Every read is checked."""
    n, width = data.size, planes.shape[2]
    for line in range(planes.shape[0]):
        coded = (
            8 <= width < 32768
            and at + 4 <= n
            and data[at] == 2
            and data[at + 1] == 2
            and int(data[at + 2]) * 256 + int(data[at + 3]) == width
        )
        if not coded:
            if at + 4 * width > n:
                return -1
            for k in range(width):
                for c in range(4):
                    planes[line, c, k] = data[at + 4 * k + c]
            at += 4 * width
            continue
        at += 4
        for c in range(4):
            filled = 0
            while filled < width:
                if at + 1 >= n:
                    return -1
                count = int(data[at])
                if count == 0 or count == 128:
                    return -2
                run = count > 128
                count = count - 128 if run else count
                if filled + count > width:
                    return -2
                if not run and at + 1 + count > n:
                    return -1
                for k in range(count):
                    planes[line, c, filled + k] = data[at + 1] if run else data[at + 1 + k]
                filled += count
                at += 2 if run else 1 + count
    return at
