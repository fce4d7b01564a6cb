"""What is left of the light in a texture after smooth shading was divided out: highlights and cast shadows.

The gap between the photo's paint and the model's is split into a coarse part and detail with a guided filter (He, Sun and
Tang 2013): the coarse part follows the edges of shadows, so they leave no rim when it is compressed. Small coarse gaps,
as of complexion, make-up and stubble, stay; large ones are seldom paint and shrink towards a bound. Pores, moles, wrinkles
and hairs are detail and stay.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

_REDUCTION = 4
_EDGE = 0.10
"""Standard deviation of the log gap within that reach from which on it counts as an edge of light, not as detail."""
_BOUND, _TINT_BOUND = 0.05, 0.03
"""Largest coarse gap that is left, as a logarithm: of the mean of the channels, and of their differences from it."""
_HIGHLIGHT = 0.25
"""Nothing painted on a face is brighter than its surroundings by more than this, as a logarithm: wet lips and noses shine."""
_BLEACH_BOUND = 0.06
_LEAST_WEIGHT = 0.02


def without_leftover_light(
    gap: Float[np.ndarray, "h w 3"], skin: Float[np.ndarray, "h w"], share: Float[np.ndarray, "h w"], reach: float
) -> Float[np.ndarray, "h w 3"]:
    """The gap with its coarse part compressed.

    Args:
        gap: logarithm of photo over paint times shading.
        skin: how surely a texel shows plain skin, in [0, 1]. Brows, lips and the like take the coarse part around them.
        share: how surely the photo shows it, in [0, 1].
        reach: texels on either side that the coarse part is the mean of.
    """
    coarse = _coarse(gap, skin * share, reach)
    grey = _grey(coarse)[..., None]
    detail = gap - coarse + _bounded(grey, _BOUND) + (coarse - grey)
    brightness = np.minimum(_grey(detail)[..., None], _HIGHLIGHT)
    tint = detail - _grey(detail)[..., None]
    tint += skin[..., None] * (_bounded(tint, _TINT_BOUND) - tint)
    # Shine bleaches: lips and brows may be redder than the model's, hardly ever bluer.
    tint *= np.minimum(1.0, _BLEACH_BOUND / np.maximum(-tint[..., :1], _BLEACH_BOUND))
    return np.asarray(brightness + tint, dtype=np.float32)


def _bounded(gap: Float[np.ndarray, "h w c"], bound: float) -> Float[np.ndarray, "h w c"]:
    """The same direction, its root mean square over channels below a bound; small ones hardly change."""
    size = np.sqrt(np.einsum("...c,...c", gap, gap) / gap.shape[-1])[..., None]
    return np.asarray(gap * (bound * np.tanh(size / bound) / np.maximum(size, 1e-6)))


def _coarse(
    gap: Float[np.ndarray, "h w 3"], skin: Float[np.ndarray, "h w"], reach: float
) -> Float[np.ndarray, "h w 3"]:
    """The guided filter of each channel by their mean, on the skin alone, worked out on a reduced texture."""
    full = skin.shape[::-1]
    reduced = (max(1, full[0] // _REDUCTION), max(1, full[1] // _REDUCTION))
    side = 2 * max(1, round(reach / _REDUCTION)) + 1
    weight = cv2.resize(skin, reduced, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(gap * skin[..., None], reduced, interpolation=cv2.INTER_AREA)
    colour /= np.maximum(weight, _LEAST_WEIGHT)[..., None]
    guide = _grey(colour)
    total = _box(weight, side)
    known = np.minimum(1.0, total / _LEAST_WEIGHT)

    def mean(values: np.ndarray) -> np.ndarray:
        weights = weight if values.ndim == 2 else weight[..., None]
        totals = total if values.ndim == 2 else total[..., None]
        return _box(values * weights, side) / np.maximum(totals, 1e-6)

    guide_mean, colour_mean = mean(guide), mean(colour)
    spread = np.maximum(mean(guide**2) - guide_mean**2, 0.0)
    shared = mean(colour * guide[..., None]) - colour_mean * guide_mean[..., None]
    slope = shared / (spread + _EDGE**2)[..., None]
    offset = colour_mean - slope * guide_mean[..., None]
    # Where there is no skin the coarse part is that of the skin around.
    fine = [cv2.resize(mean(part) * known[..., None], full) for part in (slope, offset)]
    around = cv2.resize(guide_mean, full)
    guide_here = skin * _grey(gap) + (1.0 - skin) * around
    return np.asarray(fine[0] * guide_here[..., None] + fine[1])


def _box(values: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE))


def _grey(gap: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """The mean of the channels; as a product, because numpy is slow at the mean of a short axis."""
    return np.asarray(gap @ np.full(3, 1.0 / 3.0, dtype=np.float32))
