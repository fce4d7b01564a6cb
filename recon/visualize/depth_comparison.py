"""A network's depth beside another, what a camera measured or a fitted head's: both in one scale of colours, and their difference."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from recon.visualize.depth_picture import MAX_SIDE_PX, colours_of
from recon.visualize.label import with_label

_DIFFERENCE_MM = 20.0
_STRIP_PX = 24


def depth_comparison(
    photo: UInt8[np.ndarray, "h w 3"],
    depth_mm: Float[np.ndarray, "h w"],
    other_mm: Float[np.ndarray, "h w"],
    name: str = "measured",
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Photo, the network's depth, the other depth, and the other less the network's after its median was taken off (blue nearer, red
    farther, full at 20 mm), in one row. ``name`` is the other's.

    Raises:
        ValueError: no pixel has both depths.
    """
    both = np.isfinite(depth_mm) & np.isfinite(other_mm)
    if not both.any():
        raise ValueError("no pixel has both the network's depth and the other")
    difference = np.where(both, other_mm - depth_mm, np.nan)
    offset_mm = float(np.nanmedian(difference))
    near, far = np.percentile(depth_mm[np.isfinite(depth_mm)], (0.5, 99.5))
    far = max(far, near + 1.0)
    panels = {
        "photo": photo,
        "network": colours_of(depth_mm, float(near), float(far)),
        f"{name}, {offset_mm:+.0f} mm": colours_of(other_mm - offset_mm, float(near), float(far)),
        f"difference, median {np.nanmedian(np.abs(difference - offset_mm)):.1f} mm": _signed(difference - offset_mm),
    }
    height, width = photo.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / (len(panels) * width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return np.concatenate(
        [with_label(cv2.resize(p, size, interpolation=cv2.INTER_AREA), text, _STRIP_PX) for text, p in panels.items()],
        axis=1,
    )


def _signed(values_mm: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    known = np.isfinite(values_mm)
    share = np.clip(np.where(known, values_mm, 0.0) / _DIFFERENCE_MM, -1.0, 1.0)[..., None]
    red, blue = np.array([200.0, 30.0, 30.0]), np.array([30.0, 60.0, 200.0])
    ends = np.where(share > 0.0, red, blue)
    coloured = np.round(255.0 + np.abs(share) * (ends - 255.0)).astype(np.uint8)
    coloured[~known] = 200
    return coloured
