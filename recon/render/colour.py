"""Linear light and sRGB code values (IEC 61966-2-1), differentiable.

Shading happens in the space of the model's albedo; pictures are sRGB. A model with linear albedo is drawn in linear
light, background included, and encoded at the end.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def linear_to_srgb(linear: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """sRGB code values of linear light. 1 stays 1; above 1 the curve goes on, below 0 it is straight."""
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved)


def srgb_to_linear(srgb: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Linear light of sRGB code values: the inverse of :func:`linear_to_srgb`."""
    curved = ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curved)
