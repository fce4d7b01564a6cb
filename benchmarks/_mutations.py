"""Seeded damage to files: what a bad disk, a bad program and a bad person do to bytes and to text."""

from __future__ import annotations

import random
import struct

_WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x8010, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
_LONG = (*_WORDS, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_NUMBERS = ("0", "-1", "1e999", "nan", "-inf", "99999999999999999999", "0x10", "1" * 400, "2147483648", "", "1/0")
_TOKENS = (
    "null",
    "[]",
    "{}",
    '""',
    "true",
    "&a [*a]",
    "!!python/object:os.system {}",
    "\x00",
    "é",
    "\udce9",
    "{" * 5,
    "[" * 3000,
)
_HEADER_BYTES = 512


def damaged(data: bytes, other: bytes, text: bool, rng: random.Random) -> bytes:
    """A damaged copy of a file.

    Args:
        data: the whole file.
        other: another whole file of the kind, for splicing.
        text: whether numbers and words are worth replacing.
        rng: decides what happens.
    """
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if text and rng.random() < 0.6:
            result = bytearray(_text_damage(bytes(result), rng))
        else:
            _byte_damage(result, other, rng)
    return bytes(result)


def _byte_damage(data: bytearray, other: bytes, rng: random.Random) -> None:
    """One step, in place."""
    if not data:
        data += rng.randbytes(rng.randrange(64))
        return
    at = rng.randrange(min(len(data), _HEADER_BYTES)) if rng.random() < 0.5 else rng.randrange(len(data))
    kind = rng.randrange(9)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.randrange(256)
    elif kind in (2, 3):
        size = rng.choice((1, 2, 4, 8))
        order = rng.choice("<>")
        word = rng.choice(_LONG if size == 8 else _WORDS) & ((1 << 8 * size) - 1)
        packed = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], word)
        data[at : at + size] = packed
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        del data[at : at + rng.choice((1, 2, 4, 16, 256))]
    elif kind == 6:
        data[at:at] = rng.choice(
            (rng.randbytes(rng.randrange(1, 32)), b"\x00" * rng.randrange(1, 4096), bytes(data[at : at + 64]))
        )
    elif kind == 7:
        span = rng.randrange(1, 64)
        start = rng.randrange(len(other)) if other else 0
        data[at : at + span] = other[start : start + span]
    else:
        data[at : at + rng.choice((4, 64, 1024))] = b"\x00" * 4


def _text_damage(data: bytes, rng: random.Random) -> bytes:
    """Replace one run of letters or digits, or a line."""
    content = data.decode("utf-8", errors="surrogateescape")
    if not content:
        return data
    at = rng.randrange(len(content))
    start = end = at
    while start > 0 and content[start - 1].isalnum():
        start -= 1
    while end < len(content) and content[end].isalnum():
        end += 1
    kind = rng.randrange(4)
    if kind < 2:
        content = content[:start] + rng.choice(_NUMBERS) + content[end:]
    elif kind == 2:
        content = content[:start] + rng.choice(_TOKENS) + content[end:]
    else:
        lines = content.split("\n")
        k = rng.randrange(len(lines))
        lines[k : k + 1] = rng.choice(([], [lines[k]] * 3, [rng.choice(lines)], [lines[k] * 50]))
        content = "\n".join(lines)
    return content.encode("utf-8", errors="surrogateescape")
