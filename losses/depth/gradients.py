"""Losses of how depth changes from pixel to pixel: edges, and smoothness where the picture is smooth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, differences, masked_pair, picture_means, sobel

_NEAREST_SHARE = 1e-3


def gradient_l1(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """mean |dx e| + |dy e| by Sobel filters, in units of depth a pixel: Eq. 4 of the third depth paper, the review's Eq. 16.

    Both print the derivatives without absolute values, of e = |true - predicted|. Such a sum can be negative, and the error's size
    has edges of its own where its sign changes; this takes the absolute derivatives of the signed error. The mean is over pixels
    whose eight neighbours are in the mask. Does not change with an offset.
    """
    predicted, true = masked_pair(predicted, true, mask)
    across, down, whole = sobel(true - predicted, mask)
    return picture_means(across.abs() + down.abs(), whole)


def gradient_matching(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    n_scales: int = 4,
) -> Float[Tensor, " b"]:
    """Sum over scales of mean |dx e| + mean |dy e|, in units of depth: the review's Eq. 22 (Li and Snavely 2018).

    Scale k takes every 2^k-th pixel and the differences of those neighbours, so gentle slopes count, too. The review does not give
    the number of scales; four are usual. Does not change with an offset.

    Raises:
        ValueError: no scale.
    """
    if n_scales < 1:
        raise ValueError(f"gradient matching needs at least one scale, got {n_scales}")
    predicted, true = masked_pair(predicted, true, mask)
    error = true - predicted
    total = error.new_zeros(len(error))
    for step in (2**k for k in range(n_scales)):
        for axis in (2, 3):
            slope, both = differences(error[..., ::step, ::step], mask[..., ::step, ::step], axis)
            total = total + picture_means(slope.abs(), both)
    return total


def edge_aware_smoothness(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    image: Float[Tensor, "b c h w"],
) -> Float[Tensor, " b"]:
    """mean |dx q| exp(-|dx I|) + mean |dy q| exp(-|dy I|) with the inverse depth q and the photo I: the review's Eq. 11.

    A regulariser: 0 where the predicted depth is constant, whatever the truth, which only keeps q finite. q is divided by its mean
    over the mask (Godard et al. 2019), without which a face at 600 mm would weigh a hundredth of one in other units: the loss
    does not change with the scale.

    Args:
        predicted, true: depth.
        mask: what counts.
        image: in [0, 1]; its derivative is the mean over channels.
    """
    inverse = _relative_inverse_depth(predicted, true, mask)
    total = inverse.new_zeros(len(inverse))
    for axis in (2, 3):
        slope, both = differences(inverse, mask, axis)
        edge = torch.diff(image, dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + picture_means(slope.abs() * torch.exp(-edge), both)
    return total


def second_order_smoothness(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    image: Float[Tensor, "b c h w"],
) -> Float[Tensor, " b"]:
    """As :func:`edge_aware_smoothness` with second derivatives of both: slopes are free, bends cost. Part of the review's Eq. 13."""
    inverse = _relative_inverse_depth(predicted, true, mask)
    total = inverse.new_zeros(len(inverse))
    for axis in (2, 3):
        slope, both = differences(inverse, mask, axis)
        bend, three = differences(slope, both, axis)
        edge = torch.diff(image, n=2, dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + picture_means(bend.abs() * torch.exp(-edge), three)
    return total


def _relative_inverse_depth(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """1 / depth over its mean; 1 off the mask. Depths below a thousandth of the truth are taken as that."""
    predicted, true = masked_pair(predicted, true, mask, fill=1.0)
    inverse = 1.0 / torch.maximum(predicted, _NEAREST_SHARE * true)
    mean = picture_means(inverse, mask)
    return inverse / as_map(torch.where(mean > 0.0, mean, torch.ones_like(mean)))
