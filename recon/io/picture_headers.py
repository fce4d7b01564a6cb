"""What files of JPEG, PNG and WebP say about themselves before a decoder is let at them.

Decoders of these formats allocate or work while they open a file, or in ways that its size in pixels does not tell. The
functions here read headers alone, tolerate whatever a decoder tolerates, and stop at the first thing they do not know.
"""

from __future__ import annotations

import dataclasses
import re
import struct

from recon.io.metered_file import MeteredFile

_BLOCK = 1 << 16
MAX_SCANS = 100
"""Of a JPEG: usual ones have up to 12, and each costs a pass over the whole picture."""
MAX_SAMPLE_PASSES = 6_000_000_000
"""Samples times scans of a JPEG."""
MAX_METADATA_BYTES = 32_000_000
MAX_EXIF_BYTES = 200_000
"""The format itself ends at 64 kB."""

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_BARE = frozenset({0x01, *range(0xD0, 0xD8), 0xD8})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


class HeaderError(ValueError):
    """A header that claims what no sound picture needs."""


@dataclasses.dataclass(frozen=True)
class HeaderFacts:
    """What decoding takes besides the finished picture.

    Attributes:
        extra_bytes: memory in which the decoder works; for JPEG the coefficients of all samples if it has several scans.
        unpacked_bytes: what is decompressed and not kept; it bounds the time.
        pixels: width times height, where the decoder allocates for them before it tells.
        file_in_memory: the decoder reads the whole file at once.
    """

    extra_bytes: int = 0
    unpacked_bytes: int = 0
    pixels: int = 0
    file_in_memory: bool = False


def jpeg_facts(file: MeteredFile) -> HeaderFacts:
    """Follows the markers as libjpeg does; those between scans only if there are several scans.

    Raises:
        HeaderError: too many scans for the size, or more metadata than is read.
    """
    place, metadata, exif = 2, 0, 0
    width = height = samples = components = scans = 0
    progressive = several = False
    while True:
        found = _marker(file, place)
        if found is None or found[0] == 0xD9:
            break
        marker, place = found
        if marker in _BARE:
            continue
        head = _at(file, place, 2 + 6)
        if len(head) < 3:
            break
        length = max(2, int.from_bytes(head[:2], "big"))
        if marker in _FRAMES and len(head) == 8:
            height, width, components = struct.unpack(">HHB", head[3:8])
            progressive |= marker in _PROGRESSIVE
            samples = max(samples, _samples(_at(file, place + 8, 3 * components), width, height))
        elif marker == 0xDA:
            scans += 1
            several |= progressive or head[2] < components
            if not several:
                break
            _check_scans(scans, samples)
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            metadata += length
            if marker == 0xE1 and head[2:8] == b"Exif\0\0":
                exif += length
            if metadata > MAX_METADATA_BYTES or exif > MAX_EXIF_BYTES:
                raise HeaderError("it holds more metadata than is read; save it without metadata")
        place += length
    return HeaderFacts(extra_bytes=2 * samples if several else 0)


def _check_scans(scans: int, samples: int) -> None:
    if scans > MAX_SCANS or scans * samples > MAX_SAMPLE_PASSES:
        raise HeaderError(
            f"it is a progressive JPEG of {samples / 1e6:.0f} million samples in {scans} scans or more, which would take too "
            "long; save it as a baseline JPEG"
        )


def _samples(table: bytes, width: int, height: int) -> int:
    """Of all components, with their subsampling, in whole blocks."""
    factors = [(byte >> 4 or 1, byte & 15 or 1) for byte in table[1::3]]
    if not factors:
        return 3 * width * height
    across, down = max(f[0] for f in factors), max(f[1] for f in factors)
    return sum((-(-width * h // across) + 64) * (-(-height * v // down) + 64) for h, v in factors)


def _marker(file: MeteredFile, place: int) -> tuple[int, int] | None:
    """The next marker at or after a place, and where what follows it begins."""
    if _NEXT_MARKER.fullmatch(usual := _at(file, place, 2)):
        return usual[1], place + 2
    while block := _at(file, place, _BLOCK):
        match = _NEXT_MARKER.search(block)
        if match:
            return block[match.start() + 1], place + match.end()
        if len(block) < _BLOCK:
            return None
        place += len(block) - 1  # a marker may lie across the border
    return None


def _at(file: MeteredFile, place: int, n_bytes: int) -> bytes:
    file.seek(place)
    return file.read(n_bytes)


def png_facts(file: MeteredFile) -> HeaderFacts:
    """Follows the chunks to the end.

    Raises:
        HeaderError: more metadata than is read.
    """
    place, metadata, row_bytes, height = 8, 0, 0, 0
    while len(head := _at(file, place, 8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR" and not height:
            fields = file.read(10)
            if len(fields) < 10:
                break
            width, height, depth, colour = struct.unpack(">IIBB", fields)
            row_bytes = width * depth * {2: 3, 4: 2, 6: 4}.get(colour, 1) // 8
        if kind != b"IDAT":
            metadata += min(length, file.size)
        if metadata > MAX_METADATA_BYTES:
            raise HeaderError("it holds more text and metadata than is read; save it without metadata")
        if kind == b"IEND":
            break
        place += 12 + length
    return HeaderFacts(unpacked_bytes=row_bytes * height)


def webp_facts(file: MeteredFile) -> HeaderFacts:
    """Sizes from the first chunk: libwebp allocates for them when it is opened."""
    head = _at(file, 0, 30).ljust(30, b"\0")
    kind, body = head[12:16], head[20:]
    if kind == b"VP8X":
        width, height = 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(body[k : k + 2], "little") & 0x3FFF for k in (6, 8))
    pixels = width * height
    return HeaderFacts(extra_bytes=16 * pixels, pixels=pixels, file_in_memory=True)
