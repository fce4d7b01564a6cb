"""Cast shadows of one distant lamp a picture: a depth map seen from the lamp (Williams 1978), filtered (Reeves et al. 1987)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render import rasterize
from recon.synthesis.anatomy import light_frames

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


def lit_share(
    maps: Float[Tensor, "b s s"],
    position: Float[Tensor, "p 3"],
    picture: Int[Tensor, " p"],
    centre: Float[Tensor, "b 3"],
    directions: Float[Tensor, "b 3"],
    softness: Float[Tensor, " b"],
) -> Float[Tensor, " p"]:
    """Share of the lamp that each point sees, from several looks at the map around the point.

    Args:
        maps: of :func:`shadow_maps`.
        position: ``(P, 3)`` camera frame.
        picture: ``(P,)``.
        centre: ``(B, 3)`` middle of the head, camera frame.
        directions: ``(B, 3)`` unit, towards the lamp.
        softness: ``(B,)`` [0, 1]: radius of the filter, 3 to 14 mm.
    """
    frames = light_frames(directions)
    offset = -(frames @ centre[..., None])[..., 0]
    seen = (torch.einsum("pij,pj->pi", frames[picture], position) + offset[picture]) / REACH_MM
    along = -seen[:, 2] - _BIAS_MM / REACH_MM
    column = (seen[:, 0] + 1.0) * (0.5 * MAP_PX)
    row = (1.0 - seen[:, 1]) * (0.5 * MAP_PX)
    radius = ((3.0 + 11.0 * softness) / REACH_MM * 0.5 * MAP_PX)[picture]
    flat, first = maps.reshape(-1), picture * (MAP_PX * MAP_PX)
    total = torch.zeros_like(along)
    for k in range(_TAPS):
        # Points of a disc in the order of a sunflower.
        reach, angle = math.sqrt((k + 0.5) / _TAPS), k * math.pi * (3.0 - math.sqrt(5.0))
        x = (column + reach * math.cos(angle) * radius).long().clamp(0, MAP_PX - 1)
        y = (row + reach * math.sin(angle) * radius).long().clamp(0, MAP_PX - 1)
        # Within the filter a slanted surface lies in front of itself: allow for it.
        slack = 0.35 * reach * radius * (2.0 / MAP_PX)
        total = total + (along - slack <= flat[first + y * MAP_PX + x]).to(total.dtype)
    return total / _TAPS


def _seen(v_cam: Tensor, centre: Tensor, directions: Tensor) -> Tensor:
    return (v_cam - centre[:, None]) @ light_frames(directions).transpose(1, 2) / REACH_MM
