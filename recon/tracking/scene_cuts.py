"""Scene cuts: frames that have nothing to do with the one before."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from recon.tracking.seen import SIGNATURE_SIZE

_MOST_CHANGE = 0.05
"""Mean absolute difference of the signatures' code values, of the brightness that both have in common, above which there is a cut."""
_MOST_SHIFT = 1
"""Cells of the signature that a camera may have panned by between frames."""


def signature(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "9 16 3"]:
    """A frame in a few cells: code values in [0, 1]."""
    height, width = SIGNATURE_SIZE
    # Every so many pixels will do: cells are large.
    step = max(1, min(pixels.shape[0] // (8 * height), pixels.shape[1] // (8 * width)))
    small = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step])).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


def is_cut(before: Float[np.ndarray, "9 16 3"], after: Float[np.ndarray, "9 16 3"]) -> bool:
    """Whether two frames that follow each other show different scenes.

    The frames may be shifted against each other by a cell, and one be brighter: cameras pan and adapt.
    """
    return min(_change(before, after, x, y) for x in _shifts() for y in _shifts()) > _MOST_CHANGE


def _shifts() -> range:
    return range(-_MOST_SHIFT, _MOST_SHIFT + 1)


def _change(before: np.ndarray, after: np.ndarray, x: int, y: int) -> float:
    height, width = before.shape[:2]
    a = before[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    b = after[max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)]
    difference = a - b
    # What all cells have in common is the exposure, up to a stop or so.
    common = np.clip(np.median(difference, axis=(0, 1)), -0.15, 0.15)
    return float(np.abs(difference - common).mean())
