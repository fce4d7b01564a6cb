"""Names: those of files as people may see them, and those of folders as any file system takes them."""

from __future__ import annotations

import re
import unicodedata

from bfm.text import printable as printable  # the face models' messages need it too

LONGEST_NAME_BYTES = 180
"""File systems end at 255 bytes; temporary files and endings such as ``.face12`` need some of them."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def folder_name(stem: str) -> str:
    """The name of an output folder for a file of this stem: one path component that every file system takes.

    Separators, control characters and bytes that are no UTF-8 become ``_``; dots and blanks at the ends are cut, so that the
    result is never hidden, ``.`` or ``..``; names that Windows reserves get a ``_``; names over
    :data:`LONGEST_NAME_BYTES` are cut. A stem of which nothing is left becomes ``photo``. Different stems may give one
    name: whoever makes folders tells them apart, see :func:`same_name`.
    """
    text = unicodedata.normalize("NFC", stem.encode("utf-8", errors="replace").decode("utf-8"))
    text = _UNSAFE.sub("_", text.replace("\ufffd", "_"))
    text = text.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore").strip(". ")
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    return text or "photo"


def same_name(name: str) -> str:
    """A key that is equal for names that some file systems take for one (they differ in case or in how accents are coded)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
