"""A depth map as a coloured picture with a bar that tells the scale, and the photo beside it."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

MAX_SIDE_PX = 1200
_BAR_PX, _TEXT_PX = 26, 64
_OFF = (255, 255, 255)
_STEPS_MM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def depth_picture(depth_mm: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Near is warm, far is cold, nothing is white; the bar's marks are in mm. Reduced to at most :data:`MAX_SIDE_PX`.

    Raises:
        ValueError: no depth at all.
    """
    seen = np.isfinite(depth_mm)
    if not seen.any():
        raise ValueError("the depth map holds no depth")
    near, far = (float(value) for value in np.percentile(depth_mm[seen], [0.5, 99.5]))
    far = max(far, near + 1.0)
    coloured = colours_of(depth_mm, near, far)
    scale = min(1.0, MAX_SIDE_PX / max(coloured.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(scale * coloured.shape[1])), max(1, round(scale * coloured.shape[0])))
        coloured = np.asarray(Image.fromarray(coloured).resize(size, Image.Resampling.BOX))
    return np.concatenate((coloured, _bar(max(coloured.shape[0], 1), near, far)), axis=1)


def colours_of(depth_mm: Float[np.ndarray, "h w"], near_mm: float, far_mm: float) -> UInt8[np.ndarray, "h w 3"]:
    """Turbo from ``near_mm`` (red) to ``far_mm`` (blue); white where depth is not known."""
    seen = np.isfinite(depth_mm)
    share = np.clip((far_mm - np.where(seen, depth_mm, far_mm)) / (far_mm - near_mm), 0.0, 1.0)
    coloured = cv2.applyColorMap(np.round(255.0 * share).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    coloured[~seen] = _OFF
    return coloured


def _bar(height: int, near_mm: float, far_mm: float) -> np.ndarray:
    column = np.linspace(near_mm, far_mm, height)[:, None]
    picture = np.full((height, _BAR_PX + _TEXT_PX, 3), 255, dtype=np.uint8)
    picture[:, 8:_BAR_PX] = colours_of(column, near_mm, far_mm)
    sheet = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    step = next((s for s in _STEPS_MM if (far_mm - near_mm) / s <= max(2.0, height / 40.0)), _STEPS_MM[-1])
    for mark in range(int(np.ceil(near_mm / step)) * step, int(far_mm) + 1, step):
        y = (mark - near_mm) / (far_mm - near_mm) * (height - 1)
        draw.line((_BAR_PX, y, _BAR_PX + 4, y), fill="black")
        if 6 <= y <= height - 7:
            draw.text((_BAR_PX + 7, y - 6), f"{mark} mm", fill="black", font=font)
    return np.asarray(sheet)
