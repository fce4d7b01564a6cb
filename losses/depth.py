"""Depth and normals against exact maps."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def depth_loss(
    predicted_mm: Float[Tensor, "b 1 h w"], target_mm: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute difference in mm over the mask; 0 for an empty one."""
    return (mask * (predicted_mm - target_mm).abs()).sum() / mask.sum().clamp_min(1)


def depth_loss_shift_invariant(
    predicted_mm: Float[Tensor, "b 1 h w"], target_mm: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """As :func:`depth_loss` after each picture's mean difference is taken out: the distance of the whole head, which one
    picture hardly tells, does not count."""
    weights = mask.to(predicted_mm.dtype)
    counts = weights.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)
    difference_mm = predicted_mm - target_mm
    centred = difference_mm - (weights * difference_mm).sum(dim=(1, 2, 3), keepdim=True) / counts
    return (weights * centred.abs()).sum() / weights.sum().clamp_min(1.0)


def normal_loss(
    predicted: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean over the mask of 1 - cosine of unit normals: 0 if equal, 2 if opposite; 0 for an empty mask."""
    cosine = (predicted * target).sum(dim=1, keepdim=True)
    return torch.where(mask, 1.0 - cosine, torch.zeros_like(cosine)).sum() / mask.sum().clamp_min(1)
