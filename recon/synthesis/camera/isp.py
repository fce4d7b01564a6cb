"""From the light on a sensor to code values: colour cast, noise, the sRGB curve, contrast, gray; one pass a picture."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.color import linear_to_srgb
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.kernels import isp as isp_kernels
from recon.synthesis.noise import grain, grain_tile, smooth_grain_tile

LUMA = (0.299, 0.587, 0.114)
"""Shares of the colours in what the eye sees as brightness (ITU-R BT.601)."""


@dataclasses.dataclass(frozen=True, eq=False)
class IspSettings:
    """What a camera's image signal processor does to B pictures.

    Attributes:
        gains: ``(B, 3)`` of the colours, in linear light.
        noise: ``(B,)`` [0, 0.8], 0 is none.
        soft: ``(B,)`` [0, 1] how smooth the noise is.
        colourful: ``(B,)`` [0, 1] how much colour the noise has.
        grain_at: ``(B, 2)`` row and column of the noise tile.
        curve: ``(B,)`` bend of the middle, 0 is none.
        lift: ``(B,)`` what black becomes.
        saturation: ``(B,)`` 1 leaves colours.
        gray: ``(B,)`` 0 or 1.
    """

    gains: Float[Tensor, "b 3"]
    noise: Float[Tensor, " b"]
    soft: Float[Tensor, " b"]
    colourful: Float[Tensor, " b"]
    grain_at: Int[Tensor, "b 2"]
    curve: Float[Tensor, " b"]
    lift: Float[Tensor, " b"]
    saturation: Float[Tensor, " b"]
    gray: Float[Tensor, " b"]

    @classmethod
    def sample(cls, config: SynthesisConfig, rng: CounterRng) -> IspSettings:
        """At random; with all strengths 0 only the sRGB curve is left."""
        gains = torch.exp(0.11 * config.colour_cast * rng.normal("cast", 3).clamp(-2.0, 2.0))
        noisy = rng.chance("noise", config.noise).float()
        strength = config.contrast
        curve = 0.35 * strength * rng.normal("curve").clamp(-1.5, 2.0) + 0.15 * strength
        return cls(
            gains=gains / gains.mean(dim=1, keepdim=True),
            noise=noisy * 0.8 * rng.uniform("noise level") ** 3,
            soft=rng.uniform("grain size"),
            colourful=rng.uniform("colour noise"),
            grain_at=torch.stack((rng.integer("grain row", 512), rng.integer("grain column", 512)), dim=1),
            curve=curve.clamp(-0.4, 0.8),
            lift=0.05 * strength * rng.normal("lift").clamp(-1.0, 2.0),
            saturation=1.0 + 0.18 * strength * rng.normal("saturation").clamp(-2.0, 2.0),
            gray=rng.chance("gray", config.gray).float(),
        )


def tone_map(linear: Float[Tensor, "b 3 h w"], how: IspSettings) -> Float[Tensor, "b 3 h w"]:
    """sRGB code values in [0, 1]. Compiled on the CPU.

    Noise is shot noise that grows with the light and constant read noise, partly smoothed, as a raw converter does. The
    tone curve bends the middle, lifts or crushes the shadows, and takes or gives colour.
    """
    if linear.device.type != "cpu":
        return tone_map_reference(linear, how)
    settings = torch.stack(
        (*how.gains.unbind(1), how.noise, how.soft, how.colourful, how.curve, how.lift, how.saturation, how.gray), dim=1
    )
    tiles = grain_tile(linear.device), smooth_grain_tile(linear.device)
    return isp_kernels.tone_map(linear, settings, how.grain_at, *tiles, LUMA)


def tone_map_reference(linear: Float[Tensor, "b 3 h w"], how: IspSettings) -> Float[Tensor, "b 3 h w"]:
    """Reference implementation of :func:`tone_map` in torch."""

    def each(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)

    picture = linear * how.gains[..., None, None]
    height, width = picture.shape[-2:]
    raw, smooth = (
        grain(tile, how.grain_at[:, 0], how.grain_at[:, 1], (height, width))
        for tile in (grain_tile(linear.device), smooth_grain_tile(linear.device))
    )
    mixed = raw + each(how.soft) * (smooth - raw)
    gray = mixed.mean(dim=1, keepdim=True) * 1.5
    mixed = gray + each(how.colourful) * (mixed - gray)
    variance = each(0.035 * how.noise) ** 2 + each(0.055 * how.noise) ** 2 * picture.clamp_min(0.0)
    picture = linear_to_srgb((picture + variance.sqrt() * mixed).clamp(0.0, 1.0))
    bent = picture * picture * (3.0 - 2.0 * picture)
    picture = picture + each(how.curve) * (bent - picture)
    picture = each(how.lift) + (1.0 - each(how.lift)) * picture
    weights = picture.new_tensor(LUMA)[:, None, None]
    gray = (weights * picture).sum(dim=1, keepdim=True)
    picture = (gray + each(how.saturation) * (picture - gray)).clamp(0.0, 1.0)
    gray = (weights * picture).sum(dim=1, keepdim=True).expand_as(picture)
    return torch.where(each(how.gray) > 0.0, gray, picture)
