"""Losses of sets: each member of one goes to the nearest of the other, and back."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import masked_pair
from losses.depth.reprojection import PixelCamera, pixel_points

_CHUNK = 2048


def chamfer(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    camera: PixelCamera,
    n_points: int = 1024,
) -> Float[Tensor, " b"]:
    """Mean squared distance of the points of both maps to the nearest of the other, both directions added, mm^2: the review's
    Eq. 20.

    The review prints sums over points of the plane; these are means over points in space, so that a picture's weight does not grow
    with its mask. A point that slides along the surface costs little: it sees shape, not pixels.

    Args:
        predicted, true: in mm.
        mask: what counts.
        camera: of the pictures.
        n_points: at most so many points a picture, evenly spaced over its mask; the same pixels of both maps.

    Raises:
        ValueError: no point.
    """
    if n_points < 1:
        raise ValueError(f"the Chamfer loss needs at least one point, got {n_points}")
    predicted, true = masked_pair(predicted, true, mask, fill=1.0)
    clouds = [pixel_points(depth, camera) for depth in (predicted, true)]
    values = []
    for cloud, other, inside in zip(*clouds, mask.flatten(1), strict=True):
        pixels = _evenly(torch.nonzero(inside).squeeze(1), n_points)
        values.append(_both_ways(cloud[pixels], other[pixels]))
    return torch.stack(values)


def bin_centre_density(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    bin_centres: Float[Tensor, "b k"],
) -> Float[Tensor, " b"]:
    """Chamfer loss between a picture's bin centres and its true depths, in squares of the unit: the review's Eq. 21 (Bhat et al.
    2021). Means for the printed sums.

    Args:
        predicted: gives only the size; it follows the bins.
        true: depth.
        mask: what counts.
        bin_centres: K depths a picture, in any order.
    """
    _, true = masked_pair(predicted, true, mask)
    values = []
    for centres, depths, inside in zip(bin_centres, true.flatten(1), mask.flatten(1), strict=True):
        values.append(_both_ways(centres[:, None], depths[inside][:, None]))
    return torch.stack(values)


def _evenly(indices: Tensor, count: int) -> Tensor:
    if len(indices) <= count:
        return indices
    return indices[torch.arange(count, device=indices.device) * len(indices) // count]


def _both_ways(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Mean squared distance to the nearest, both directions added; 0 if a set is empty."""
    if len(first) == 0 or len(second) == 0:
        return (first.sum() + second.sum()) * 0.0
    there = (first - second[_nearest(first, second)]).square().sum(dim=1).mean()
    back = (second - first[_nearest(second, first)]).square().sum(dim=1).mean()
    return there + back


@torch.no_grad()
def _nearest(points: Float[Tensor, "n d"], targets: Float[Tensor, "m d"]) -> Tensor:
    """Index of the nearest target of each point. Which one it is has no gradient; the distance to it is taken by the caller."""
    if points.shape[1] == 1:
        return _nearest_number(points[:, 0], targets[:, 0])
    exact = "donot_use_mm_for_euclid_dist"  # the other way rounds distances of points that lie far from the origin
    return torch.cat([torch.cdist(part, targets, compute_mode=exact).argmin(dim=1) for part in points.split(_CHUNK)])


def _nearest_number(values: Float[Tensor, " n"], targets: Float[Tensor, " m"]) -> Tensor:
    """In one dimension: the neighbour below or above in the sorted targets."""
    ordered, order = targets.sort()
    above = torch.searchsorted(ordered, values.contiguous()).clamp_max(len(ordered) - 1)
    below = (above - 1).clamp_min(0)
    return order[torch.where((values - ordered[below]).abs() <= (ordered[above] - values).abs(), below, above)]
