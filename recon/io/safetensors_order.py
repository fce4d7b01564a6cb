"""Safetensors files whose bytes follow from what they hold."""

from __future__ import annotations

import json


def ordered_safetensors(content: bytes) -> bytes:
    """A safetensors file with its description in the order of names: the library's order differs from run to run."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]
