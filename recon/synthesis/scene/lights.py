"""Light in a picture: surroundings as spherical harmonics, and up to two lamps; exposed as a camera would."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.lighting import environment_to_sh, irradiance, lamps_to_sh
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.environments import FolderEnvironments

N_LAMPS = 2
_MIDDLE_ALBEDO = 0.26
"""Linear albedo of a face that is exposed as metered; others follow half of the way."""
_ENVIRONMENT = (8, 16)
_ROOMS = (0.30, 0.25, 0.20, 0.15, 0.10)
"""Shares of: lamps beside the camera, one strong side light, only surroundings, light from behind, flash."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lights:
    """Light of B pictures in the camera frame, at the exposure of the picture.

    Attributes:
        surroundings: ``(B, 9, 3)`` radiance coefficients, without the lamps.
        directions: ``(B, 2, 3)`` unit, towards each lamp. The first casts shadows.
        irradiances: ``(B, 2, 3)`` what each lamp gives a surface that faces it.
        light_radius: ``(B,)`` [0, 1], relative radius of the first lamp: how soft the edge of its shadow is.
    """

    surroundings: Float[Tensor, "b 9 3"]
    directions: Float[Tensor, "b 2 3"]
    irradiances: Float[Tensor, "b 2 3"]
    light_radius: Float[Tensor, " b"]

    @property
    def total(self) -> Float[Tensor, "b 9 3"]:
        """Surroundings and lamps as one lighting ``(B, 9, 3)``."""
        return self.surroundings + lamps_to_sh(self.directions, self.irradiances)


def sample_lights(
    rng: CounterRng,
    strength: float,
    exposure: float,
    facing: Float[Tensor, "b 3"],
    albedo: Float[Tensor, " b"],
    environments: FolderEnvironments | None = None,
) -> Lights:
    """Lights of all kinds of rooms and weathers.

    Args:
        rng: random numbers.
        strength: 0 is even white light, 1 the full variety of colours and directions.
        exposure: spread of the brightness, [0, 1].
        facing: ``(B, 3)`` where the face looks, camera frame: exposure is for the face.
        albedo: ``(B,)`` mean albedo of the face: cameras expose dark skin longer and light skin shorter.
        environments: maps that light the pictures instead of invented rooms.
    """
    if environments is None:
        surroundings, directions, irradiances = _room(rng)
    else:
        found = environments.sample(rng)
        surroundings = found.lighting
        directions = torch.stack((found.direction, torch.nn.functional.normalize(facing, dim=-1)), dim=1)
        irradiances = torch.stack((found.irradiance, torch.zeros_like(found.irradiance)), dim=1)
    even = torch.zeros_like(surroundings)
    even[:, 0] = facing.new_ones(3) / 0.28209479
    surroundings = even + strength * (surroundings - even)
    irradiances = strength * irradiances
    # Exposed for the whole face rather than its brightest spot.
    normals = torch.nn.functional.normalize(facing[:, None] + 0.8 * facing.new_tensor(_AROUND), dim=-1)
    total = surroundings + lamps_to_sh(directions, irradiances)
    level = irradiance(normals, total).clamp_min(0.0).mean(dim=(1, 2)) / torch.pi
    wanted = torch.exp(0.24 * exposure * rng.normal("exposure").clamp(-2.2, 1.6))
    wanted = wanted * 0.95 * (_MIDDLE_ALBEDO / albedo.clamp_min(0.03)) ** 0.55
    gain = (wanted / level.clamp_min(0.05))[:, None, None]
    return Lights(gain * surroundings, directions, gain * irradiances, rng.uniform("lamp softness"))


def _room(rng: CounterRng) -> tuple[Float[Tensor, "b 9 3"], Float[Tensor, "b 2 3"], Float[Tensor, "b 2 3"]]:
    """An invented room or weather: surroundings, and directions and irradiances of the lamps."""
    room = rng.choice("room", _ROOMS)
    surroundings = environment_to_sh(_environment(rng))
    directions = torch.nn.functional.normalize(_lamp_directions(rng, room), dim=-1)
    # How much of the light on the face comes from lamps.
    share = surroundings.new_tensor([0.45, 0.65, 0.0, 0.6, 0.6])[room] * (0.5 + 0.8 * rng.uniform("lamp share"))
    second = surroundings.new_tensor([0.7, 0.25, 0.0, 0.4, 0.0])[room] * rng.uniform("second lamp")
    lamps = torch.stack((share, share * second), dim=1)[..., None] * _tint(rng, "lamp", N_LAMPS)
    # The surroundings' mean over all directions is brought to what the lamps leave.
    mean = surroundings[:, :1].mean(dim=2, keepdim=True).clamp_min(1e-3) * 0.28209479
    surroundings = surroundings / mean * (1.0 - share).clamp_min(0.12)[:, None, None]
    return surroundings, directions, 2.6 * lamps


_AROUND = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))


def _lamp_directions(rng: CounterRng, room: Tensor) -> Float[Tensor, "b 2 3"]:
    """Towards the lamps; z points to the camera, so front light has z > 0."""
    side = torch.where(rng.chance("lamp side", 0.5), 1.0, -1.0)
    across, up = rng.uniform("lamp across"), rng.uniform("lamp up")
    azimuth = torch.stack((0.2 + 0.7 * across, 0.7 + 0.8 * across, across, 1.9 + 0.8 * across, 0.1 * across), dim=1)
    height = torch.stack((0.1 + 0.8 * up, -0.1 + 1.0 * up, up, 0.2 + 0.6 * up, 0.05 + 0.1 * up), dim=1)
    azimuth, height = (table.gather(1, room[:, None])[:, 0] for table in (azimuth, height))
    # The second lamp fills from the other side.
    azimuth = torch.stack((side * azimuth, -side * (0.3 + rng.uniform("second across"))), dim=1)
    height = torch.stack((height, 0.9 * rng.uniform("second up") - 0.1), dim=1)
    flat = torch.cos(height)
    return torch.stack((flat * torch.sin(azimuth), torch.sin(height), flat * torch.cos(azimuth)), dim=-1)


def _tint(rng: CounterRng, name: str, count: int) -> Float[Tensor, "b n 3"]:
    """Colours of light along the way from candle to blue sky, brightness about 1."""
    warmth = 0.26 * rng.normal(f"{name} warmth", count).clamp(-2.0, 2.0)
    green = 0.05 * rng.normal(f"{name} green", count)
    tint = torch.stack((torch.exp(0.55 * warmth), torch.exp(green), torch.exp(-0.75 * warmth)), dim=-1)
    return tint / tint.mean(dim=-1, keepdim=True)


def _environment(rng: CounterRng) -> Float[Tensor, "b 3 8 16"]:
    """Small pictures of surroundings: floor, ceiling or sky, walls of different brightness, a window or two."""
    rows, columns = _ENVIRONMENT
    batch = len(rng.keys)
    height = torch.linspace(1.0, -1.0, rows, device=rng.device)[None, None, :, None]
    above = rng.uniform("sky", low=0.5, high=2.2)[:, None, None, None] * _tint(rng, "sky", 1).transpose(1, 2)[..., None]
    below = (
        rng.uniform("floor", low=0.1, high=0.9)[:, None, None, None] * _tint(rng, "floor", 1).transpose(1, 2)[..., None]
    )
    mix = torch.sigmoid(5.0 * height)
    picture = (mix * above + (1.0 - mix) * below).expand(batch, 3, rows, columns).clone()
    walls = 0.5 * rng.normal("walls", 1, 4, 8).clamp(-2.0, 2.0)
    walls = torch.nn.functional.interpolate(walls, size=(rows, columns), mode="bilinear", align_corners=False)
    picture = picture * torch.exp(walls)
    across = torch.arange(columns, device=rng.device)[None, None, None, :]
    down = torch.arange(rows, device=rng.device)[None, None, :, None]
    for k in range(2):
        left, top = rng.integer(f"window {k} left", columns), rng.integer(f"window {k} top", rows - 3)
        wide, high = 1 + rng.integer(f"window {k} wide", 3), 1 + rng.integer(f"window {k} high", 3)
        left, top, wide, high = (x[:, None, None, None] for x in (left, top, wide, high))
        inside = ((across - left) % columns < wide) & (down >= top) & (down < top + high)
        bright = rng.uniform(f"window {k}", low=0.0, high=9.0)[:, None, None, None]
        picture = picture + inside * bright * _tint(rng, f"window {k}", 1).transpose(1, 2)[..., None]
    return picture
