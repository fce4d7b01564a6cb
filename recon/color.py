"""Between the space that a model shades in and sRGB code values (IEC 61966-2-1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.data import AlbedoSpace

_SLOPE_ABOVE_1 = 0.44
"""Of the encoding beyond white: the slope of the sRGB curve at 1, 1.055 / 2.4 = 0.4396, to two digits."""


def linear_to_srgb(linear: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """sRGB code values in [0, 1] of linear light in [0, 1] (IEC 61966-2-1); values outside are clamped to 1, and kept
    linear below 0, so that the gradient is finite everywhere."""
    safe = linear.clamp(0.0031308, 1.0)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * safe.pow(1.0 / 2.4) - 0.055)


def srgb_to_linear(srgb: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Linear light of sRGB code values in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4))


def encode_srgb(shaded: Float[Tensor, "*n"], albedo_space: AlbedoSpace) -> Float[Tensor, "*n"]:
    """sRGB code values in [0, 1] of colours shaded in a model's own space."""
    encoded = linear_to_srgb(shaded) if albedo_space == "linear" else shaded
    return encoded.clamp(0.0, 1.0)


def encode_srgb_unclamped(shaded: Float[Tensor, "*n"], albedo_space: AlbedoSpace) -> Float[Tensor, "*n"]:
    """As :func:`encode_srgb` without the clamp to [0, 1], for comparing with a photo.

    Linear light above 1 goes on with the slope that the curve has at 1, so that over-exposed colours keep a gradient.
    """
    if albedo_space != "linear":
        return shaded
    return torch.where(shaded > 1.0, 1.0 + _SLOPE_ABOVE_1 * (shaded - 1.0), linear_to_srgb(shaded))


def encode_srgb_unclamped_slope(shaded: Float[Tensor, "*n"], albedo_space: AlbedoSpace) -> Float[Tensor, "*n"]:
    """The derivative of :func:`encode_srgb_unclamped`, elementwise."""
    if albedo_space != "linear":
        return torch.ones_like(shaded)
    middle = 1.055 / 2.4 * shaded.clamp(0.0031308, 1.0).pow(1.0 / 2.4 - 1.0)
    return torch.where(shaded > 1.0, _SLOPE_ABOVE_1, torch.where(shaded <= 0.0031308, 12.92, middle))


def decode_srgb(picture: Float[Tensor, "*n"], albedo_space: AlbedoSpace) -> Float[Tensor, "*n"]:
    """sRGB code values in the space a model shades in."""
    return srgb_to_linear(picture) if albedo_space == "linear" else picture
