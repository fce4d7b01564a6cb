"""Losses of our depth network: a likelihood of depth with its own uncertainty, directions and slopes.

All return one value a picture, ``(B,)``: a weighted mean over pixels, 0 where no pixel has a weight.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def weighted_mean(values: Float[Tensor, "b 1 h w"], weights: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """Mean over the pixels of each picture by weights of 0 or more; values without a weight may be anything but nan."""
    total = weights.sum(dim=(1, 2, 3))
    return (weights * values).sum(dim=(1, 2, 3)) / torch.where(total > 0.0, total, torch.ones_like(total))


def laplace_nll(
    difference: Float[Tensor, "b 1 h w"], log_scale: Float[Tensor, "b 1 h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """log b + |difference| / b of the Laplace distribution with the scale b; log 2 left out.

    Args:
        difference: predicted less true.
        log_scale: logarithm of b, in the same unit.
        weights: of pixels.
    """
    return weighted_mean(log_scale + difference.abs() * torch.exp(-log_scale), weights)


def normal_cosine(
    predicted: Float[Tensor, "b 3 h w"], true: Float[Tensor, "b 3 h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """1 - cosine between unit normals: 0 if equal, 2 if opposite."""
    return weighted_mean(1.0 - (predicted * true).sum(dim=1, keepdim=True), weights)


def slope_l1(difference: Float[Tensor, "b 1 h w"], weights: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """|dx e| + |dy e| of the error e between neighbouring pixels, in units of e a pixel; a pair weighs as its lighter pixel.
    An offset of the whole map costs nothing."""
    across = weighted_mean(difference.diff(dim=3).abs(), torch.minimum(weights[..., 1:], weights[..., :-1]))
    down = weighted_mean(difference.diff(dim=2).abs(), torch.minimum(weights[:, :, 1:], weights[:, :, :-1]))
    return across + down
