"""Whether the jaw is shut behind parted lips: teeth that fill the mouth show it.

Landmarks alone cannot tell a grin, lips pulled off a shut row of teeth, from a mouth that falls open by the same distance.
The picture between the lips can: teeth are bright and hardly redder than light, what lies behind an open jaw is dark or
red.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from recon.color import srgb_to_linear
from recon.fitting.terms.landmark import LIPS

_LEAST_GAP = 0.03
"""Lips closer than this share of the face's size show too little."""
_DEPTHS = np.linspace(0.3, 0.9, 7)
"""Where to look between the upper lip (0) and the lower (1). Above, the upper teeth show in any open mouth."""
_BRIGHT = (0.35, 0.6)
_RED = (1.2, 1.05)
"""Ramps from no tooth to tooth: brightness over that of the skin, and fraction of red over that of the skin."""
_BLACK = 1e-3
"""Linear brightness below which colours say nothing."""
_OPEN, _SHUT = 1.6, 0.08
"""Factors on the width of an open jaw's prior: without teeth in sight, and with teeth all the way down."""


def jaw_prior_scale(
    pixels: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "n 2"], size_px: float, landmark_set: str
) -> float:
    """How much wider, or narrower, the prior of an open jaw is by what shows between the lips; 1 for shut lips.

    Args:
        pixels: the photo.
        points_px: its landmarks.
        size_px: size of the face.
        landmark_set: which points they are; 1 for sets without known lips, for lips beyond the photo's border and for a
            black photo.
    """
    if landmark_set not in LIPS:
        return 1.0
    upper, lower = (points_px[list(side)] for side in zip(*LIPS[landmark_set], strict=True))
    lips = np.concatenate([upper, lower])
    if np.linalg.norm(upper - lower, axis=1).mean() < _LEAST_GAP * size_px or not _inside(pixels, lips).all():
        return 1.0
    skin = np.median(_colours(pixels, points_px), axis=0)
    if skin.max() <= _BLACK:
        return 1.0
    between = upper[:, None] + _DEPTHS[:, None] * (lower - upper)[:, None]
    seen = np.median(_colours(pixels, between.reshape(-1, 2)).reshape(*between.shape[:2], 3), axis=0)
    bright = _ramp(seen.mean(axis=1) / skin.mean(), *_BRIGHT)
    pale = _ramp(_redness(seen) / _redness(skin), *_RED)
    teeth = float((bright * pale).mean())
    return _OPEN + (_SHUT - _OPEN) * teeth


def _inside(pixels: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    height, width = pixels.shape[:2]
    return np.asarray(((points_px >= 0.0) & (points_px < [width, height])).all(axis=1))


def _colours(pixels: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    """Linear colours of the pixels under points, those beyond the border taken at it."""
    height, width = pixels.shape[:2]
    column = np.clip(points_px[:, 0].astype(int), 0, width - 1)
    row = np.clip(points_px[:, 1].astype(int), 0, height - 1)
    return np.maximum(srgb_to_linear(torch.from_numpy(pixels[row, column] / 255.0)).numpy(), _BLACK)


def _redness(colours: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    return np.asarray(colours[..., 0] / colours.sum(axis=-1))


def _ramp(values: Float[np.ndarray, " n"], low: float, high: float) -> Float[np.ndarray, " n"]:
    return np.clip((values - low) / (high - low), 0.0, 1.0)
