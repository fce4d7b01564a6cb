"""What cameras, files and things before the lens do to pictures, cheaply and in a batch; nothing moves, so labels stay.
For the landmark network; regressors have :mod:`recon.training.augment`.

After the strong augmentations of Wood et al. 2021 ("Fake it till you make it"): appearance, blur, noise of the sensor,
JPEG, low resolution, grey pictures, patches.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.synthesis.camera.jpeg import jpeg


@dataclasses.dataclass(frozen=True)
class Degradation:
    """How much pictures vary. Shares are those of pictures that have an effect; widths are of normal distributions.

    Attributes:
        exposure: of the logarithm of brightness.
        gamma: of the logarithm of the exponent.
        colour: of the logarithm of each channel's gain.
        saturation: of the change of saturation.
        gray: share without colour.
        patches: share with a box filled with one colour or with another picture.
        low_resolution: share that is made small, to 0.2 to 0.7 of its side, and large again.
        blur: share that is blurred, with up to 0.012 of the side.
        noise: largest standard deviation of noise, code values.
        jpeg: share that is compressed, at qualities from 15 to 75.
    """

    exposure: float = 0.25
    gamma: float = 0.2
    colour: float = 0.08
    saturation: float = 0.3
    gray: float = 0.15
    patches: float = 0.35
    low_resolution: float = 0.3
    blur: float = 0.3
    noise: float = 0.04
    jpeg: float = 0.25

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{field.name} must lie in [0, 1], got {value}")


def degrade(
    pictures: Float[Tensor, "b 3 h w"], settings: Degradation, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Degraded pictures, and where patches hide them.

    Args:
        pictures: sRGB code values in [0, 1], on any device.
        settings: how much they vary.
        generator: of the random numbers, on the CPU. Only the noise of pictures elsewhere comes from a generator there,
            with a seed that this one gives.
    """
    changed = _coloured(pictures, settings, generator)
    changed, hidden = _patched(changed, settings.patches, generator)
    changed = _low_resolution(changed, settings.low_resolution, generator)
    changed = _blurred(changed, settings.blur, generator)
    level = settings.noise * torch.rand(len(changed), 1, 1, 1, generator=generator).square().to(changed.device)
    changed = (changed + level * _normal(changed, generator)).clamp(0.0, 1.0)
    return _compressed(changed, settings.jpeg, generator), hidden


def _normal(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers for every pixel, sampled on the pictures' device."""
    if pictures.device == generator.device:
        return torch.randn(pictures.shape, generator=generator)
    there = torch.Generator(pictures.device)
    there.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    return torch.randn(pictures.shape, generator=there, device=pictures.device)


def _coloured(pictures: Tensor, settings: Degradation, generator: torch.Generator) -> Tensor:
    count, device = len(pictures), pictures.device
    normal = torch.randn(count, 6, generator=generator).clamp(-2.5, 2.5).to(device)[..., None, None]
    gain = torch.exp(settings.exposure * normal[:, :1] + settings.colour * normal[:, 1:4])
    power = torch.exp(settings.gamma * normal[:, 4:5])
    changed = (pictures * gain).clamp(1e-4, 1.0) ** power
    gray = changed.mean(dim=1, keepdim=True)
    colourless = (torch.rand(count, 1, 1, 1, generator=generator) < settings.gray).to(changed)
    amount = (1.0 + settings.saturation * normal[:, 5:6]).clamp_min(0.0) * (1.0 - colourless)
    return (gray + amount * (changed - gray)).clamp(0.0, 1.0)


def _patched(pictures: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    count, _, height, width = pictures.shape
    chance, x, y, w, h, kind = torch.rand(6, count, 1, 1, generator=generator).to(pictures.device).unbind(0)
    rows = (torch.arange(height, device=pictures.device)[:, None] + 0.5) / height
    columns = (torch.arange(width, device=pictures.device)[None] + 0.5) / width
    half_w, half_h = 0.04 + 0.18 * w * w, 0.04 + 0.18 * h * h
    hidden = ((columns - x).abs() < half_w) & ((rows - y).abs() < half_h) & (chance < share)
    colour = torch.rand(count, 3, 1, 1, generator=generator).to(pictures.device).expand_as(pictures)
    patch = torch.where((kind < 0.5)[:, None], colour, pictures.roll(1, dims=0))
    return torch.where(hidden[:, None], patch, pictures), hidden[:, None]


def _low_resolution(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Made small and large again, in three groups of one factor each."""
    size = tuple(pictures.shape[-2:])
    group = torch.rand(len(pictures), generator=generator)
    factors = 0.2 + 0.5 * torch.rand(3, generator=generator)
    changed = pictures.clone()
    for k in range(3):
        chosen = torch.nonzero((group >= k * share / 3.0) & (group < (k + 1) * share / 3.0))[:, 0]
        if len(chosen):
            chosen = chosen.to(pictures.device)
            small = [max(8, round(float(factors[k]) * side)) for side in size]
            reduced = torch.nn.functional.interpolate(changed[chosen], size=small, mode="area")
            changed[chosen] = torch.nn.functional.interpolate(reduced, size=size, mode="bilinear", align_corners=False)
    return changed


def _blurred(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A Gaussian of each picture's own width, rows then columns."""
    chosen = torch.nonzero(torch.rand(len(pictures), generator=generator) < share)[:, 0]
    if not len(chosen):
        return pictures
    side = pictures.shape[-1]
    radius = max(1, round(0.03 * side))
    sigma = side * (0.001 + 0.011 * torch.rand(len(chosen), 1, generator=generator))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1)[None] / sigma).square())
    taps = (taps / taps.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)[:, None].to(pictures)
    chosen = chosen.to(pictures.device)
    part = pictures[chosen].flatten(0, 1)[None]
    padded = torch.nn.functional.pad(part, (radius, radius, radius, radius), mode="replicate")
    across = torch.nn.functional.conv2d(padded, taps[:, :, None, :], groups=len(taps))
    down = torch.nn.functional.conv2d(across, taps[:, :, :, None], groups=len(taps))
    changed = pictures.clone()
    changed[chosen] = down[0].unflatten(0, (len(chosen), 3))
    return changed


def _compressed(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chance, quality = torch.rand(2, len(pictures), generator=generator).unbind(0)
    chosen = torch.nonzero(chance < share)[:, 0]
    if not len(chosen):
        return pictures
    kept = (15.0 + 60.0 * quality[chosen]).floor().to(pictures.device)
    chosen = chosen.to(pictures.device)
    changed = pictures.clone()
    changed[chosen] = jpeg(pictures[chosen], kept, torch.ones_like(kept, dtype=torch.bool))
    return changed
