"""Names and messages as people may see them."""

from __future__ import annotations

import os
import re

# Control characters, surrogates, and the marks by which a name can be shown in another order than it is written.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(name: str | os.PathLike[str]) -> str:
    """A name or message for terminals, JSON and Markdown: bytes that are no UTF-8 and control characters are escaped.

    The result always encodes as UTF-8. It is for reading; files are opened by their own name.
    """
    return _UNPRINTABLE.sub(_escaped, os.fspath(name))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
