"""Pictures: masked squared difference and gradient difference (Eq. 11 of the reconstruction paper)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def squared_difference(
    predicted: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean over masked pixels of ||i' - i||^2, summed over channels.

    Args:
        predicted, target: pictures in [0, 1], same space.
        mask: weights in [0, 1]; an empty mask gives 0.
    """
    squared = (predicted - target).square().sum(dim=1, keepdim=True)
    return (mask * squared).sum() / mask.sum().clamp_min(1.0)


def gradient_difference(
    predicted: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Gradient difference loss of Mathieu et al. 2015 (alpha = 1): | |grad i'| - |grad i| | along x and y.

    Differences of neighbours, both of which must lie in the mask; mean over masked pixels, summed over channels.
    """
    total = predicted.new_zeros(())
    for axis in (2, 3):
        size = predicted.shape[axis]
        edges = [torch.diff(picture, dim=axis).abs() for picture in (predicted, target)]
        both = mask.narrow(axis, 0, size - 1) * mask.narrow(axis, 1, size - 1)
        total = total + (both * (edges[0] - edges[1]).abs()).sum()
    return total / mask.sum().clamp_min(1.0)


def photometric_loss(
    predicted: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Eq. 11: squared difference plus gradient difference where the mask shows the face."""
    return squared_difference(predicted, target, mask) + gradient_difference(predicted, target, mask)
