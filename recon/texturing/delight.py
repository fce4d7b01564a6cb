"""Delighting: removal of the residual shading that is in a texture after smooth shading was divided out.

Residual shading is highlights and cast shadows. The log albedo residual is split into a coarse part and detail with a guided
filter (He, Sun and Tang 2013): the coarse part follows the edges of shadows, so they leave no rim when it is compressed.
Small coarse residuals, as of complexion, make-up and stubble, stay; large ones are seldom albedo and shrink towards a bound.
Pores, moles, wrinkles and hairs are detail and stay.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

_REDUCTION = 4
_EDGE = 0.10
"""Standard deviation of the residual within the filter's radius from which on it counts as an edge of light, not as detail."""
_BOUND, _TINT_BOUND = 0.05, 0.03
"""Largest coarse residual that is left, as a logarithm: of the mean of the channels, and of their differences from it."""
_HIGHLIGHT = 0.25
"""Nothing in a face's albedo is brighter than its surroundings by more than this, as a logarithm: wet lips and noses shine."""
_BLEACH_BOUND = 0.06
_LEAST_WEIGHT = 0.02


def delight(
    residual: Float[np.ndarray, "h w 3"],
    skin: Float[np.ndarray, "h w"],
    confidence: Float[np.ndarray, "h w"],
    radius_texels: float,
) -> Float[np.ndarray, "h w 3"]:
    """The log albedo residual with its coarse part compressed.

    Args:
        residual: logarithm of the photo over albedo times shading.
        skin: confidence that a texel shows plain skin, in [0, 1]. Brows, lips and the like take the coarse part around them.
        confidence: that the photo shows it, in [0, 1].
        radius_texels: on either side, what the coarse part is the mean of.
    """
    coarse = _coarse(residual, skin * confidence, radius_texels)
    mean = _channel_mean(coarse)[..., None]
    detail = residual - coarse + _bounded(mean, _BOUND) + (coarse - mean)
    brightness = np.minimum(_channel_mean(detail)[..., None], _HIGHLIGHT)
    tint = detail - _channel_mean(detail)[..., None]
    tint += skin[..., None] * (_bounded(tint, _TINT_BOUND) - tint)
    # Shine bleaches: lips and brows may be redder than the model's, hardly ever bluer.
    tint *= np.minimum(1.0, _BLEACH_BOUND / np.maximum(-tint[..., :1], _BLEACH_BOUND))
    return np.asarray(brightness + tint, dtype=np.float32)


def _bounded(values: Float[np.ndarray, "h w c"], bound: float) -> Float[np.ndarray, "h w c"]:
    """The same direction, its root mean square over channels below a bound; small ones hardly change."""
    size = np.sqrt(np.einsum("...c,...c", values, values) / values.shape[-1])[..., None]
    return np.asarray(values * (bound * np.tanh(size / bound) / np.maximum(size, 1e-6)))


def _coarse(
    residual: Float[np.ndarray, "h w 3"], skin: Float[np.ndarray, "h w"], radius_texels: float
) -> Float[np.ndarray, "h w 3"]:
    """The guided filter of each channel by their mean, on the skin alone, worked out on a reduced texture."""
    full = skin.shape[::-1]
    reduced = (max(1, full[0] // _REDUCTION), max(1, full[1] // _REDUCTION))
    side = 2 * max(1, round(radius_texels / _REDUCTION)) + 1
    weight = cv2.resize(skin, reduced, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(residual * skin[..., None], reduced, interpolation=cv2.INTER_AREA)
    colour /= np.maximum(weight, _LEAST_WEIGHT)[..., None]
    guide = _channel_mean(colour)
    total = _box(weight, side)
    known = np.minimum(1.0, total / _LEAST_WEIGHT)

    def mean(values: np.ndarray) -> np.ndarray:
        weights = weight if values.ndim == 2 else weight[..., None]
        totals = total if values.ndim == 2 else total[..., None]
        return _box(values * weights, side) / np.maximum(totals, 1e-6)

    guide_mean, colour_mean = mean(guide), mean(colour)
    variance = np.maximum(mean(guide**2) - guide_mean**2, 0.0)
    covariance = mean(colour * guide[..., None]) - colour_mean * guide_mean[..., None]
    slope = covariance / (variance + _EDGE**2)[..., None]
    offset = colour_mean - slope * guide_mean[..., None]
    # Where there is no skin the coarse part is that of the skin around.
    fine = [cv2.resize(mean(part) * known[..., None], full) for part in (slope, offset)]
    around = cv2.resize(guide_mean, full)
    guide_here = skin * _channel_mean(residual) + (1.0 - skin) * around
    return np.asarray(fine[0] * guide_here[..., None] + fine[1])


def _box(values: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE))


def _channel_mean(values: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """The mean of the channels; as a product, because numpy is slow at the mean of a short axis."""
    return np.asarray(values @ np.full(3, 1.0 / 3.0, dtype=np.float32))
