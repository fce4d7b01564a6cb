"""Eyes and teeth of a texture: the model's albedo in the photo's colours.

An eye is a dozen pixels wide in most photos, half of it lashes, shadow and highlight. Projected onto an eyeball that the
lids leave a little more or less open, such pixels look wrong, while the median colour of the iris is what people notice. So
the model's eyes stay and take two colours of the photo. Teeth keep the photo's detail where it is sure to show teeth, and its
median colour elsewhere.

Residuals are logarithms of the photo over albedo times shading.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.model import MorphableModel

_FEWEST_VERTICES, _FEWEST_TEXELS = 12, 60
_MOST_IRIS, _MOST_WHITE = 1.2, 0.3
"""Bounds of brightness against the model's albedo, as logarithms: from dark brown to pale blue; whites vary little."""
_MOST_IRIS_TINT, _MOST_WHITE_TINT = 0.35, 0.06
_TOOTH_DARK = (-0.9, -0.5)
"""Ramp of brightness from the mouth's dark to a tooth."""
_TOOTH_RED = (0.18, 0.08)
"""Ramp of the red channel over the mean from lip to tooth."""
_MOST_TOOTH, _MOST_TOOTH_TINT = 0.35, 0.06
"""Bounds of the median tooth against the model's, as logarithms: of brightness, and of the channels apart."""
_TOOTH_EDGE = (-0.8, -0.4)
"""Ramp of brightness against the median tooth from the shade of a lip to the dark line between two teeth."""
_TOOTH_DETAIL = (-0.4, 0.12)
"""Bounds of the brightness of one texel against the median tooth: dark lines part teeth, highlights are no albedo."""


def has_irises(model: MorphableModel) -> bool:
    """Whether the model says where its irises and pupils are."""
    return {"eyes", "irises", "pupils"} <= set(model.region_names)


def eye_log_residual(
    model: MorphableModel, residual: Float[Tensor, "v 3"], visible: Bool[Tensor, " v"]
) -> Float[Tensor, "v 3"]:
    """One residual for the irises and one for the whites, 0 for the pupils, off the eyes, and for what is hardly seen.

    Args:
        model: with irises, see :func:`has_irises`.
        residual: at each vertex.
        visible: where the photo shows the eyes.
    """
    iris, pupil, eyes = (model.region(name).cpu() for name in ("irises", "pupils", "eyes"))
    found = torch.zeros_like(residual)
    for part, most, most_tint in (
        (iris, _MOST_IRIS, _MOST_IRIS_TINT),
        (eyes & ~iris & ~pupil, _MOST_WHITE, _MOST_WHITE_TINT),
    ):
        known = part & visible
        if int(known.sum()) >= _FEWEST_VERTICES:
            found[part] = _bounded(residual[known].median(dim=0).values, most, most_tint)
    return found


def tooth_log_residual(residual: Float[Tensor, "n 3"], visible: Bool[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """The residual of texels of teeth: the median of those that show a tooth, and their own brightness where they do.

    Lips and the dark of the mouth, onto which teeth are projected where the fitted lips miss the photo's by a pixel, are
    no teeth.

    Args:
        residual: at each texel.
        visible: where no lip is before it.
    """
    brightness = residual.mean(dim=1)
    bright, pale = _ramp(brightness, *_TOOTH_DARK), _ramp(residual[:, 0] - brightness, *_TOOTH_RED)
    confidence = (bright * pale * visible)[:, None]
    sure = confidence[:, 0] > 0.5
    if int(sure.sum()) < _FEWEST_TEXELS:
        return torch.zeros_like(residual)
    middle = residual[sure].median(dim=0).values
    usual = _bounded(middle, _MOST_TOOTH, _MOST_TOOTH_TINT)
    detail = brightness - middle.mean()
    return usual + (confidence[:, 0] * _ramp(detail, *_TOOTH_EDGE) * detail.clamp(*_TOOTH_DETAIL))[:, None]


def _bounded(residual: Float[Tensor, "*n 3"], most: float, most_tint: float) -> Float[Tensor, "*n 3"]:
    brightness = residual.mean(dim=-1, keepdim=True)
    return brightness.clamp(-most, most) + (residual - brightness).clamp(-most_tint, most_tint)


def _ramp(values: Float[Tensor, " n"], low: float, high: float) -> Float[Tensor, " n"]:
    return ((values - low) / (high - low)).clamp(0.0, 1.0)
