"""Which files are HEIC pictures, and what opens them: pi-heif, an extra of its own.

Its wheels hold libheif and libde265 (LGPL), which decode; pillow-heif's hold x265 (GPL) besides, which is not needed to read.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import ImageFile

from recon.io.extras import pip_hint

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class HeicUnavailable(Exception):
    """pi-heif is not installed; the message says how to get it."""


def is_heic(magic: bytes) -> bool:
    """Whether a file that begins so is a HEIC picture."""
    return magic[4:8] == b"ftyp" and magic[8:12] in HEIC_BRANDS


def heic_opener() -> Callable[..., ImageFile.ImageFile]:
    """Pillow's file class for HEIC pictures.

    Raises:
        HeicUnavailable: pi-heif is missing.
    """
    try:
        from pi_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise HeicUnavailable(pip_hint(error) or str(error)) from error
    opener: Callable[..., ImageFile.ImageFile] = HeifImageFile
    return opener
