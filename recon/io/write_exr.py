"""A small writer of OpenEXR pictures: float32 scan lines, ZIP compressed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np

_LINES_PER_CHUNK = 16
_FLOAT = 2
_ZIP = 3


def encode_exr(channels: Mapping[str, np.ndarray], comments: str = "") -> bytes:
    """An OpenEXR 2 file of float32 channels of one size, by name (ASCII, such as ``"Z"``); nan and inf are kept.

    Raises:
        ValueError: no channel, different sizes, or a type that is not float32.
    """
    names = sorted(channels)
    shapes = {channels[name].shape for name in names}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or 0 in next(iter(shapes)):
        raise ValueError(f"an EXR picture needs channels of one size (H, W), got {sorted(shapes)}")
    if any(channels[name].dtype != np.float32 for name in names):
        raise ValueError(f"EXR channels must be float32, got {[str(channels[name].dtype) for name in names]}")
    height, width = next(iter(shapes))
    header = _header(names, width, height, comments)
    # (H, channels, W): each line holds its channels one after the other.
    lines = np.stack([channels[name] for name in names], axis=1).astype("<f4")
    chunks = []
    for top in range(0, height, _LINES_PER_CHUNK):
        data = _compressed(lines[top : top + _LINES_PER_CHUNK].tobytes())
        chunks.append(struct.pack("<ii", top, len(data)) + data)
    table_end = len(header) + 8 * len(chunks)
    starts = np.cumsum([table_end, *map(len, chunks)])[:-1]
    return header + starts.astype("<u8").tobytes() + b"".join(chunks)


def _header(names: list[str], width: int, height: int, comments: str) -> bytes:
    channel_list = b"".join(name.encode("ascii") + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) for name in names)
    window = struct.pack("<iiii", 0, 0, width - 1, height - 1)
    attributes = [
        ("channels", "chlist", channel_list + b"\0"),
        ("comments", "string", comments.encode()),
        ("compression", "compression", struct.pack("<B", _ZIP)),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<ff", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    ]
    text = b"".join(
        name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return struct.pack("<ii", 20000630, 2) + text + b"\0"


def _compressed(raw: bytes) -> bytes:
    """OpenEXR's ZIP: bytes of even and odd places apart, differences of neighbours, deflate; raw if that is no smaller."""
    data = np.frombuffer(raw, dtype=np.uint8)
    apart = np.concatenate([data[0::2], data[1::2]]).astype(np.int16)
    apart[1:] = apart[1:] - apart[:-1] + 128
    packed = zlib.compress((apart & 0xFF).astype(np.uint8).tobytes())
    return packed if len(packed) < len(raw) else raw
