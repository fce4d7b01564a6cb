"""Reads OpenEXR pictures of scan lines: float32 or half, uncompressed or ZIP, as Blender and this package write them."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from recon.io.pictures import MAX_DECODED_BYTES, MAX_FILE_PIXELS

_LINES = {0: 1, 2: 1, 3: 16}
"""Lines in a chunk by compression: none, ZIPS, ZIP."""
_TYPES: dict[int, np.dtype] = {1: np.dtype("<f2"), 2: np.dtype("<f4")}
_MAX_SIDE = 65_536
_MAX_CHANNELS = 64
_MAX_ATTRIBUTES = 1_000
_MAX_CHUNK_BYTES = 1 << 27
_MAX_TEXT = 256


class ExrError(ValueError):
    """Bytes that are no OpenEXR picture of a kind that is read here."""


@dataclasses.dataclass(frozen=True)
class ExrHeader:
    """What a file holds.

    Attributes:
        width, height: px.
        channels: name and type of each, in the order of the file.
    """

    width: int
    height: int
    channels: tuple[tuple[str, np.dtype], ...]
    _top: int
    _compression: int
    _table: int

    @property
    def line_bytes(self) -> int:
        """Of all channels together."""
        return self.width * sum(kind.itemsize for _, kind in self.channels)


def decode_exr(data: bytes) -> dict[str, np.ndarray]:
    """Channels ``(H, W)`` float32 by name.

    Raises:
        ExrError: no EXR, truncated, tiled, several parts, another compression or pixel type, lines that are missing, or more
            pixels than the limits of :mod:`recon.io.pictures` allow.
    """
    header = read_exr_header(data)
    taken = 4 * header.width * header.height * len(header.channels) + len(data)
    if taken > MAX_DECODED_BYTES:
        raise ExrError(f"an EXR of {header.width} x {header.height} px takes {taken / 1e9:.1f} GB; reduce it first")
    result = {name: np.zeros((header.height, header.width), np.float32) for name, _ in header.channels}
    for first, block in exr_blocks(data, header):
        for name, values in block.items():
            result[name][first : first + len(values)] = values
    return result


def read_exr_header(data: bytes) -> ExrHeader:
    """Size and channels; raises :class:`ExrError`."""
    try:
        return _header(data)
    except (struct.error, UnicodeDecodeError, ArithmeticError, KeyError) as error:
        raise ExrError(f"truncated or damaged EXR ({_words(error)})") from None


def exr_blocks(data: bytes, header: ExrHeader) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The lines in the order of the file, a few at a time: number of the first, from 0, and channels ``(lines, W)``.

    Every line comes once, or an :class:`ExrError` at the end says which are missing.
    """
    try:
        yield from _blocks(data, header)
    except (struct.error, zlib.error, ArithmeticError, ValueError) as error:
        if isinstance(error, ExrError):
            raise
        raise ExrError(f"truncated or damaged EXR ({_words(error)})") from None


def _words(error: Exception) -> str:
    return f"no attribute {error}" if isinstance(error, KeyError) else str(error)


class _Reader:
    """Takes bytes from a place on; asking for more than there are is an error, and so is a negative number."""

    def __init__(self, data: bytes, place: int) -> None:
        if not 0 <= place <= len(data):
            raise ExrError(f"truncated or damaged EXR: it refers to byte {place} of {len(data)}")
        self.data, self.place = data, place

    def take(self, n_bytes: int) -> bytes:
        if n_bytes < 0 or self.place + n_bytes > len(self.data):
            raise ExrError(
                f"truncated or damaged EXR: {n_bytes} bytes are claimed, {len(self.data) - self.place} are left"
            )
        self.place += n_bytes
        return self.data[self.place - n_bytes : self.place]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def text(self) -> str:
        end = self.data.find(b"\0", self.place, self.place + _MAX_TEXT)
        if end < 0:
            raise ExrError("truncated or damaged EXR: a name has no end")
        return self.take(end - self.place + 1)[:-1].decode("ascii")

    def at_end_mark(self) -> bool:
        """Whether a list ends here; the mark is taken."""
        if self.data[self.place : self.place + 1] != b"\0":
            return False
        self.place += 1
        return True


def _header(data: bytes) -> ExrHeader:
    reader = _Reader(data, 0)
    if reader.number() != 20000630:
        raise ExrError("not an OpenEXR file")
    if reader.number() & 0x1A00:
        raise ExrError("tiled, deep and multi-part EXR files are not read")
    attributes: dict[str, bytes] = {}
    while not reader.at_end_mark():
        name, _ = reader.text(), reader.text()
        attributes[name] = reader.take(reader.number())
        if len(attributes) > _MAX_ATTRIBUTES:
            raise ExrError(f"EXR of more than {_MAX_ATTRIBUTES} attributes")
    compression = _Reader(attributes["compression"], 0).take(1)[0]
    if compression not in _LINES:
        raise ExrError(f"EXR compression {compression} is not read; save it with ZIP")
    channels = _channels(attributes["channels"])
    left, top, right, bottom = struct.unpack("<iiii", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE) or width * height > MAX_FILE_PIXELS:
        raise ExrError(f"EXR of {width} x {height} px; up to {MAX_FILE_PIXELS / 1e6:.0f} million are read")
    header = ExrHeader(width, height, channels, top, compression, reader.place)
    if header.line_bytes * _LINES[compression] > _MAX_CHUNK_BYTES:
        raise ExrError(f"EXR whose lines take {header.line_bytes / 1e6:.0f} MB each")
    return header


def _channels(data: bytes) -> tuple[tuple[str, np.dtype], ...]:
    reader = _Reader(data, 0)
    found: dict[str, np.dtype] = {}
    while not reader.at_end_mark():
        name = reader.text()
        kind, _, across, down = struct.unpack("<iB3xii", reader.take(16))
        if kind not in _TYPES or (across, down) != (1, 1):
            raise ExrError(f"channel {name!r} is neither float nor half at full resolution")
        if name in found or len(found) >= _MAX_CHANNELS:
            raise ExrError(f"EXR with channel {name!r} twice, or of more than {_MAX_CHANNELS} channels")
        found[name] = _TYPES[kind]
    if not found:
        raise ExrError("EXR without channels")
    return tuple(found.items())


def _blocks(data: bytes, header: ExrHeader) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    a_chunk = _LINES[header._compression]
    count = -(-header.height // a_chunk)
    table = struct.unpack(f"<{count}Q", _Reader(data, header._table).take(8 * count))
    seen = np.zeros(count, bool)
    for start in table:
        if start == 0:  # as writers leave it that were interrupted
            continue
        reader = _Reader(data, start)
        first, size = reader.number() - header._top, reader.number()
        if not 0 <= first < header.height or first % a_chunk or seen[first // a_chunk]:
            raise ExrError(f"damaged EXR: a chunk begins at line {first} of {header.height}, or comes twice")
        seen[first // a_chunk] = True
        lines = min(a_chunk, header.height - first)
        wanted, raw = lines * header.line_bytes, reader.take(size)
        if header._compression and size < wanted:
            raw = _unpacked(zlib.decompressobj().decompress(raw, wanted + 1))
        if len(raw) != wanted:
            raise ExrError(f"the lines from {first} hold {len(raw)} bytes or more, {wanted} are expected")
        yield first, _split(raw, lines, header)
    if not seen.all():
        raise ExrError(f"truncated EXR: {int((~seen).sum())} of {count} chunks of lines are missing")


def _split(raw: bytes, lines: int, header: ExrHeader) -> dict[str, np.ndarray]:
    """Each line holds the channels one after the other."""
    rows, at = np.frombuffer(raw, np.uint8).reshape(lines, header.line_bytes), 0
    found: dict[str, np.ndarray] = {}
    for name, kind in header.channels:
        size = header.width * kind.itemsize
        with np.errstate(invalid="ignore"):  # a half that is no number
            found[name] = np.ascontiguousarray(rows[:, at : at + size]).view(kind).astype(np.float32)
        at += size
    return found


def _unpacked(packed: bytes) -> bytes:
    """Undo the differences of neighbours and the sorting of bytes by even and odd place."""
    steps = np.frombuffer(packed, np.uint8).copy()
    steps[1:] -= 128  # bytes wrap around, here and in the sum
    values = np.cumsum(steps, dtype=np.uint8)
    half = (len(values) + 1) // 2
    mixed = np.zeros_like(values)
    mixed[0::2], mixed[1::2] = values[:half], values[half:]
    return mixed.tobytes()
