"""Depth and normals against exact maps, as a mean over the pixels of the whole batch: a picture weighs by its mask."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.relative import global_mean_removed


def depth_loss_shift_invariant(
    predicted_mm: Float[Tensor, "b 1 h w"], target_mm: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute difference in mm after each picture's mean difference is taken out: the distance of the whole head, which one
    picture hardly tells, does not count. 0 for an empty mask."""
    counts = mask.sum(dim=(1, 2, 3))
    return (counts * global_mean_removed(predicted_mm, target_mm, mask)).sum() / counts.sum().clamp_min(1)


def normal_loss(
    predicted: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean over the mask of 1 - cosine of unit normals: 0 if equal, 2 if opposite; 0 for an empty mask."""
    cosine = (predicted * target).sum(dim=1, keepdim=True)
    return torch.where(mask, 1.0 - cosine, torch.zeros_like(cosine)).sum() / mask.sum().clamp_min(1)
