"""The line of text above a tile of a contact sheet."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont


def with_label(picture: UInt8[np.ndarray, "h w 3"], label: str, strip_px: int) -> UInt8[np.ndarray, "h2 w 3"]:
    """The picture below a white strip of ``strip_px`` with black text."""
    height, width, _ = picture.shape
    sheet = Image.new("RGB", (width, height + strip_px), "white")
    sheet.paste(Image.fromarray(picture), (0, strip_px))
    ImageDraw.Draw(sheet).text((6, strip_px // 2 - 6), label, fill="black", font=ImageFont.load_default())
    return np.asarray(sheet)
