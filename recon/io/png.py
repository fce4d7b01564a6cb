"""PNG files in memory, with a text that says what the pixels mean."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin


def encode_png(pixels: np.ndarray, description: str = "") -> bytes:
    """A PNG of ``(H, W, 3)`` uint8 RGB, ``(H, W)`` uint8 or ``(H, W)`` uint16, with ``description`` as a text chunk."""
    text = PngImagePlugin.PngInfo()
    if description:
        text.add_text("Description", description)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
