"""Named arrays in one block of bytes, which a browser reads without a library.

Layout: the length of the header as little-endian uint32, the header (JSON in UTF-8, padded with blanks so that what follows
begins at a multiple of 4), then the arrays one after another, each padded to a multiple of 4. The header's ``arrays`` lists for
each array its name, its type as JavaScript's typed arrays call it, its first byte, counted from the end of the header, and its
number of elements; the shape of rows is agreed upon.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = {
    np.dtype("<f4"): "Float32Array",
    np.dtype("<u4"): "Uint32Array",
    np.dtype("<i2"): "Int16Array",
    np.dtype("u1"): "Uint8Array",
}
"""Types that both sides know, by their names in JavaScript."""


def encode_parts(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One block of the facts (anything JSON knows) and the arrays.

    Raises:
        TypeError: an array of a type that is not in :data:`TYPES`.
        ValueError: facts with nan or inf, which JSON does not know.
    """
    rows, body = [], bytearray()
    for name, array in arrays.items():
        kind = TYPES.get(array.dtype.newbyteorder("<"))
        if kind is None:
            raise TypeError(f"array {name!r} is {array.dtype}; a browser reads {', '.join(str(t) for t in TYPES)}")
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        rows.append({"name": name, "type": kind, "start": len(body), "length": int(array.size)})
        body += data + b"\0" * (-len(data) % 4)
    header = json.dumps({**facts, "arrays": rows}, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-len(header) % 4)
    return struct.pack("<I", len(header)) + header + bytes(body)


def decode_parts(block: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Facts and flat arrays of :func:`encode_parts`."""
    (length,) = struct.unpack_from("<I", block)
    facts = json.loads(block[4 : 4 + length])
    known: dict[str, Any] = {name: dtype for dtype, name in TYPES.items()}
    arrays = {
        row["name"]: np.frombuffer(block, known[row["type"]], row["length"], 4 + length + row["start"])
        for row in facts.pop("arrays")
    }
    return facts, arrays
