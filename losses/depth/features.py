"""Losses of features: of what another network makes of the depth, and of how features of two networks resemble each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, masked_pair, picture_means

FeatureNetwork = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""``(B, 3, H, W)`` of about mean 0 and deviation 1 to one or several maps ``(B, C, H', W')``. Frozen, and in ``eval`` mode: with a
norm over the batch one picture would change another's value."""


def perceptual(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    features: FeatureNetwork,
    relief: float = 50.0,
) -> Float[Tensor, " b"]:
    """(1/HW) sum of (phi(true) - phi(predicted))^2 over the positions of a feature map, mean over its channels and over the maps:
    the review's Eq. 18 (Johnson et al. 2016).

    The review takes a layer of VGG-16 and does not say which: ``timm.create_model("vgg16", features_only=True, out_indices=(1,),
    pretrained=True)`` is that network up to its second block. Depth is shown as grey less the mean true depth, in units of
    ``relief``; off the mask both pictures are flat.

    Args:
        predicted, true: depth.
        mask: what counts. Features see around a pixel, so the value is a mean over the map and not over the mask.
        features: the network.
        relief: depth that counts as one deviation, in the unit of the maps: 50 mm suits heads.

    Raises:
        ValueError: a relief that is not positive.
    """
    if not relief > 0.0:
        raise ValueError(f"the perceptual loss needs a positive relief, got {relief}")
    predicted, true = masked_pair(predicted, true, mask)
    middle = as_map(picture_means(true, mask))
    shown = [((depth - middle) / relief).masked_fill(~mask, 0.0).expand(-1, 3, -1, -1) for depth in (predicted, true)]
    found = [features(picture) for picture in shown]
    both = [[maps] if isinstance(maps, Tensor) else list(maps) for maps in found]
    gaps = [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(*both, strict=True)]
    return torch.stack(gaps).mean(dim=0)


def pairwise_distillation(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    student: Float[Tensor, "b _c _h _w"],
    teacher: Float[Tensor, "b _d _h _w"],
    n_cells: int = 16,
) -> Float[Tensor, " b"]:
    """Mean squared difference of affinities of all pairs of cells: the review's Eq. 23 with the square that it lacks (Liu et al.
    2019).

    The affinity of two cells is the cosine of their features. Channels may differ between the networks.

    Args:
        predicted, true: give only the size.
        mask: a cell counts if at least half of its pixels do.
        student: features that learn.
        teacher: features to follow; no gradient flows into them.
        n_cells: features are averaged to at most so many cells a side, because pairs grow with the fourth power.

    Raises:
        ValueError: fewer than 1 cell, or feature maps of two sizes.
    """
    masked_pair(predicted, true, mask)
    if n_cells < 1 or student.shape[-2:] != teacher.shape[-2:]:
        raise ValueError(
            f"distillation needs at least one cell and feature maps of one size, got {n_cells}, {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    size = (min(n_cells, student.shape[2]), min(n_cells, student.shape[3]))
    pooled = torch.nn.functional.adaptive_avg_pool2d
    counts = (pooled(mask.to(student.dtype), size) >= 0.5).flatten(2)
    pairs = counts & counts.transpose(1, 2)
    affinities = []
    for maps in (student, teacher.detach()):
        cells = torch.nn.functional.normalize(pooled(maps, size).flatten(2), dim=1, eps=1e-8)
        affinities.append(cells.transpose(1, 2) @ cells)
    gap = (affinities[0] - affinities[1]).square()
    return picture_means(gap[:, None], pairs[:, None])
