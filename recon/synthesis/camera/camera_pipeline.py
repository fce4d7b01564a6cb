"""What a camera and a file do to a picture: blur, noise, colour, contrast, low resolution, JPEG."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.blur import gaussian_blur
from recon.synthesis.camera.isp import IspSettings, tone_map
from recon.synthesis.camera.jpeg import jpeg
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng

_LOW_FACTORS = (2, 3, 4)
_MOTION_TAPS = 9


def camera_pipeline(
    linear: Float[Tensor, "b 3 h w"], config: SynthesisConfig, rng: CounterRng
) -> Float[Tensor, "b 3 h w"]:
    """A scene in linear light as an sRGB file would hold it, [0, 1]. With all strengths 0, only the sRGB curve."""
    picture = _some(linear, rng, "blur", config.blur, _blurred)
    picture = _some(picture, rng, "motion blur", config.motion_blur, _motion_blurred)
    picture = tone_map(picture, IspSettings.sample(config, rng))
    picture = _some(picture, rng, "low resolution", config.low_resolution, _low_resolution)
    return _some(picture, rng, "jpeg", config.jpeg, _jpeg_at_random)


def _some(picture: Tensor, rng: CounterRng, name: str, share: float, change) -> Tensor:  # type: ignore[no-untyped-def]
    """The change applied to a random share of the pictures; the others pay nothing."""
    if share <= 0.0:
        return picture
    rows = torch.nonzero(rng.chance(name, share))[:, 0]
    if len(rows) == 0:
        return picture
    chosen = CounterRng(rng.keys[rows.cpu().numpy()], rng.device)
    return picture.index_copy(0, rows, change(picture[rows], chosen).to(picture.dtype))


def _blurred(picture: Tensor, rng: CounterRng) -> Tensor:
    side = min(picture.shape[-2:])
    return gaussian_blur(picture, side / 224.0 * rng.uniform("sigma", low=0.5, high=2.2))


def _motion_blurred(picture: Tensor, rng: CounterRng) -> Tensor:
    """Averages along a short straight way, by shifting the picture through a few places."""
    batch, _, height, width = picture.shape
    length = min(height, width) / 224.0 * rng.uniform("length", low=2.0, high=9.0)
    angle = torch.pi * rng.uniform("direction")
    way = torch.stack((length * angle.cos() * 2.0 / width, length * angle.sin() * 2.0 / height), dim=1)
    identity = torch.eye(2, 3, device=picture.device, dtype=picture.dtype).expand(batch, 2, 3)
    result = torch.zeros_like(picture)
    for k in range(_MOTION_TAPS):
        shift = identity.clone()
        shift[:, :, 2] = (k / (_MOTION_TAPS - 1) - 0.5) * way
        grid = torch.nn.functional.affine_grid(shift, list(picture.shape), align_corners=False)
        result = result + torch.nn.functional.grid_sample(
            picture, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
    return result / _MOTION_TAPS


def _low_resolution(picture: Tensor, rng: CounterRng) -> Tensor:
    """Reduced and enlarged again."""
    size = picture.shape[-2:]
    which = rng.integer("factor", len(_LOW_FACTORS))
    result = picture
    for k, factor in enumerate(_LOW_FACTORS):
        rows = torch.nonzero(which == k)[:, 0]
        if len(rows) == 0:
            continue
        small = (max(1, size[0] // factor), max(1, size[1] // factor))
        reduced = torch.nn.functional.interpolate(picture[rows], size=small, mode="area")
        grown = torch.nn.functional.interpolate(reduced, size=size, mode="bicubic", align_corners=False)
        result = result.index_copy(0, rows, grown.clamp(0.0, 1.0))
    return result


def _jpeg_at_random(picture: Tensor, rng: CounterRng) -> Tensor:
    quality = rng.uniform("quality", low=28.0, high=96.0)
    return jpeg(picture, quality, rng.chance("subsampled", 0.7))
