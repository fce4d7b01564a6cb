"""Cast shadows of one distant lamp a picture: a depth map seen from the lamp (Williams 1978), filtered (Reeves et al. 1987)."""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render import rasterize
from recon.synthesis.geometry.anatomy import light_frames
from recon.synthesis.kernels import shading as kernels

MAP_PX = 112
REACH_MM = 190.0
"""Half the side of the square that the map covers, around the middle of the head."""
_BIAS_MM = 5.0
_TAPS = 8


def shadow_maps(
    v_cam: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "f 3"],
    centre: Float[Tensor, "b 3"],
    directions: Float[Tensor, "b 3"],
) -> Float[Tensor, "b s s"]:
    """How far along the light the first surface lies, in units of the map's reach; large where there is none."""
    seen = _seen(v_cam, centre, directions)
    clip = torch.cat((seen * seen.new_tensor([1.0, 1.0, -0.5]), torch.ones_like(seen[..., :1])), dim=-1)
    depth = rasterize(clip, faces, (MAP_PX, MAP_PX)).depth_hard
    return torch.where(torch.isfinite(depth), 2.0 * depth, 10.0)


def lamp_visibility(
    maps: Float[Tensor, "b s s"],
    position: Float[Tensor, "p 3"],
    picture: Int[Tensor, " p"],
    centre: Float[Tensor, "b 3"],
    directions: Float[Tensor, "b 3"],
    light_radius: Float[Tensor, " b"],
) -> Float[Tensor, " p"]:
    """Fraction of the lamp that each point sees, from several look-ups in the map around the point.

    Args:
        maps: of :func:`shadow_maps`.
        position: ``(P, 3)`` camera frame.
        picture: ``(P,)``.
        centre: ``(B, 3)`` middle of the head, camera frame.
        directions: ``(B, 3)`` unit, towards the lamp.
        light_radius: ``(B,)`` [0, 1], relative: radius of the filter, 3 to 14 mm.
    """
    if position.device.type != "cpu":
        return lamp_visibility_reference(maps, position, picture, centre, directions, light_radius)
    to_map, radius_px = _to_map(centre, directions, light_radius)
    looked_up = kernels.ShadowMaps(maps, to_map, radius_px, maps.new_tensor(_taps()))
    return kernels.lamp_visibility(looked_up, position, picture)


def lamp_visibility_reference(
    maps: Float[Tensor, "b s s"],
    position: Float[Tensor, "p 3"],
    picture: Int[Tensor, " p"],
    centre: Float[Tensor, "b 3"],
    directions: Float[Tensor, "b 3"],
    light_radius: Float[Tensor, " b"],
) -> Float[Tensor, " p"]:
    """Reference implementation of :func:`lamp_visibility` in torch."""
    to_map, radius_px = _to_map(centre, directions, light_radius)
    rows, radius = to_map[picture], radius_px[picture]
    column, row, along = ((rows[..., :3] * position[:, None]).sum(dim=-1) + rows[..., 3]).unbind(1)
    flat, first = maps.reshape(-1), picture * (MAP_PX * MAP_PX)
    total = torch.zeros_like(along)
    for across, down, slack in _taps():
        x = (column + across * radius).long().clamp(0, MAP_PX - 1)
        y = (row + down * radius).long().clamp(0, MAP_PX - 1)
        total = total + (along - slack * radius <= flat[first + y * MAP_PX + x]).to(total.dtype)
    return total / _TAPS


def _to_map(
    centre: Float[Tensor, "b 3"], directions: Float[Tensor, "b 3"], light_radius: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b 3 4"], Float[Tensor, " b"]]:
    """Affine maps from camera space to column, row and distance along the light, and the filter's radius in pixels."""
    turn = light_frames(directions) / REACH_MM * centre.new_tensor([0.5 * MAP_PX, -0.5 * MAP_PX, -1.0])[:, None]
    middle = centre.new_tensor([0.5 * MAP_PX, 0.5 * MAP_PX, -_BIAS_MM / REACH_MM])
    offset = middle - (turn @ centre[..., None])[..., 0]
    return torch.cat((turn, offset[..., None]), dim=-1), (3.0 + 11.0 * light_radius) / REACH_MM * 0.5 * MAP_PX


@functools.lru_cache(maxsize=1)
def _taps() -> tuple[tuple[float, float, float], ...]:
    """Points of a disc in the order of a sunflower, and how far a slanted surface may lie before itself there."""
    taps = []
    for k in range(_TAPS):
        reach, angle = math.sqrt((k + 0.5) / _TAPS), k * math.pi * (3.0 - math.sqrt(5.0))
        taps.append((reach * math.cos(angle), reach * math.sin(angle), 0.35 * reach * 2.0 / MAP_PX))
    return tuple(taps)


def _seen(v_cam: Tensor, centre: Tensor, directions: Tensor) -> Tensor:
    return (v_cam - centre[:, None]) @ light_frames(directions).transpose(1, 2) / REACH_MM
