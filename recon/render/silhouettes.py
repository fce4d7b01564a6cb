"""Where a silhouette edge runs between two neighbouring pixels: whole-number search in plain torch, on any device.

The readable twin of ``silhouette_kernels``. A crossing is found as nvdiffrast defines it (Laine et al. 2020, section
3.5): two pixels that share a side show different triangles; of the two, the nearer triangle is left along the line
between the pixel centres through one of its edges; when that edge is a silhouette, runs more across the line than along
it, and is crossed between the centres, it blends the two pixels.

One thing is added. Faces smaller than a pixel rarely own the silhouette edge themselves, so the line is followed over
``reach`` further faces, each the neighbour across the edge just left. ``reach=0`` is nvdiffrast's definition.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.screen import NEAR_W
from recon.render.topology import Topology

TOLERANCE = 1.0 / 16.0
"""Pixels by which a crossing may lie outside the two centres, for rounding."""


@dataclasses.dataclass(frozen=True, eq=False)
class Crossings:
    """N places where a silhouette edge crosses the line between two pixel centres.

    Attributes:
        near: ``(N,)`` flat index into ``(B, H, W)`` of the pixel that shows the surface with the edge.
        far: ``(N,)`` flat index of its neighbour.
        start, end: ``(N,)`` flat indices into ``(B, V)`` of the edge's vertices.
    """

    near: Int[Tensor, " n"]
    far: Int[Tensor, " n"]
    start: Int[Tensor, " n"]
    end: Int[Tensor, " n"]


def find_crossings(
    triangle_ids: Int[Tensor, "b h w"],
    depth: Float[Tensor, "b h w"],
    pixels: Float[Tensor, "b v 2"],
    w: Float[Tensor, "b v"],
    topology: Topology,
    reach: int,
) -> Crossings:
    """All crossings, for pixel coordinates and clip w of the vertices; edges with a vertex behind are left out."""
    near, far = _pairs(triangle_ids, depth)
    n_pictures, height, width = triangle_ids.shape
    n_vertices = pixels.shape[1]
    picture = torch.div(near, height * width, rounding_mode="floor")
    face = triangle_ids.view(-1)[near].long()
    flat, in_front = pixels.reshape(-1, 2), (w > NEAR_W).reshape(-1)
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _ in range(reach + 1):
        offset = picture[:, None] * n_vertices
        corners = topology.faces[face] + offset  # (N, 3)
        along, across = _along_and_across(flat[corners], near, far, (height, width))
        side = across >= 0
        straddles = side != side.roll(-1, 1)
        step = across.roll(-1, 1) - across
        slope = along.roll(-1, 1) - along
        crossing = along - across * slope / torch.where(straddles, step, 1.0)
        crossing = torch.where(straddles, crossing, -torch.inf)
        edge = crossing.argmax(1, keepdim=True)
        exit_at = crossing.gather(1, edge)[:, 0]
        leaves = straddles.any(1) & in_front[corners].all(1) & (exit_at > -TOLERANCE) & (exit_at < 1.0 + TOLERANCE)
        start = corners.gather(1, edge)[:, 0]
        end = corners.gather(1, (edge + 1) % 3)[:, 0]
        third = corners.gather(1, (edge + 2) % 3)[:, 0]
        opposite = topology.opposite[face].gather(1, edge)[:, 0]
        other = flat[(opposite + offset[:, 0]).clamp(min=0)]
        own_side = _side_of(flat[start], flat[end], flat[third])
        silhouette = (opposite < 0) | (own_side == _side_of(flat[start], flat[end], other))
        steep = (step.abs() >= slope.abs()).gather(1, edge)[:, 0]
        hit = leaves & silhouette & steep
        found.append((near[hit], far[hit], start[hit], end[hit]))
        onward = leaves & ~silhouette
        face = topology.neighbours[face].gather(1, edge)[:, 0][onward]
        near, far, picture = near[onward], far[onward], picture[onward]
    return Crossings(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _pairs(triangle_ids: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (nearer, farther) of pixels that share a side and show different triangles."""
    index = torch.arange(triangle_ids.numel(), device=triangle_ids.device).view(triangle_ids.shape)
    near, far = [], []
    for dim in (2, 1):
        length = triangle_ids.shape[dim] - 1
        first, second = (slice(0, length), slice(1, length + 1))
        pick = (slice(None),) * dim
        differs = triangle_ids[(*pick, first)] != triangle_ids[(*pick, second)]
        a, b = index[(*pick, first)][differs], index[(*pick, second)][differs]
        first_is_near = depth[(*pick, first)][differs] < depth[(*pick, second)][differs]
        near.append(torch.where(first_is_near, a, b))
        far.append(torch.where(first_is_near, b, a))
    return torch.cat(near), torch.cat(far)


def _along_and_across(points: Tensor, near: Tensor, far: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Coordinates of points ``(N, K, 2)`` with the origin at the near centre and "along" running to the far one."""
    height, width = size
    in_picture = near % (height * width)
    row = torch.div(in_picture, width, rounding_mode="floor")
    x = points[..., 0] - ((in_picture - row * width).to(points.dtype) + 0.5)[:, None]
    y = points[..., 1] - (row.to(points.dtype) + 0.5)[:, None]
    step = (far - near)[:, None]
    vertical = step.abs() == width if width > 1 else torch.ones_like(step, dtype=torch.bool)
    sign = torch.sign(step).to(points.dtype)
    return sign * torch.where(vertical, y, x), torch.where(vertical, x, y)


def _side_of(start: Tensor, end: Tensor, point: Tensor) -> Tensor:
    """Whether points ``(N, 2)`` lie to one side of the lines from start to end."""
    edge, to_point = end - start, point - start
    return edge[:, 0] * to_point[:, 1] - edge[:, 1] * to_point[:, 0] > 0
