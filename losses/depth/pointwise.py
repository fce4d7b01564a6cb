"""Losses of single pixels' errors. Lengths are in the unit of the maps; e = true - predicted."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, masked_pair, picture_means


def l1(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """mean |e|: the review's Eqs. 6 ("common depth") and 15 ("point-wise"), Eq. 2 of the third depth paper."""
    predicted, true = masked_pair(predicted, true, mask)
    return picture_means((true - predicted).abs(), mask)


def l2(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """mean e^2, in squares of the unit: the review's Eq. 1."""
    predicted, true = masked_pair(predicted, true, mask)
    return picture_means((true - predicted).square(), mask)


def berhu(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    share: float = 0.2,
) -> Float[Tensor, " b"]:
    """mean of |e| up to c and (e^2 + c^2) / (2 c) beyond: the review's Eq. 3 with the absolute values that it lacks.

    c is not printed; here, as usual, a share of the picture's largest error (Laina et al. 2016), through which no gradient flows.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"berhu's border is a share of the largest error in (0, 1], got {share}")
    predicted, true = masked_pair(predicted, true, mask)
    size = (true - predicted).abs()
    border = share * as_map(size.detach().amax(dim=(1, 2, 3)))
    beyond = (size.square() + border.square()) / (2.0 * border.clamp_min(torch.finfo(size.dtype).tiny))
    return picture_means(torch.where(size > border, beyond, size), mask)


def huber_of(error: Float[Tensor, "*n"], cutoff: float) -> Float[Tensor, "*n"]:
    """e^2 / 2 up to the cutoff c and c (|e| - c / 2) beyond; not reduced.

    Raises:
        ValueError: a cutoff that is not positive.
    """
    if not cutoff > 0.0:
        raise ValueError(f"the Huber loss needs a positive cutoff, got {cutoff}")
    size = error.abs()
    near = size.clamp_max(cutoff)
    return near * (size - 0.5 * near)


def huber(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    cutoff: float = 10.0,
) -> Float[Tensor, " b"]:
    """mean of e^2 / 2 up to c and c (|e| - c / 2) beyond, in squares of the unit.

    The review's Eq. 4 prints Eq. 3 with its cases exchanged; this is Huber's (1964). c is not printed: 10 mm.

    Raises:
        ValueError: a cutoff that is not positive.
    """
    predicted, true = masked_pair(predicted, true, mask)
    return picture_means(huber_of(true - predicted, cutoff), mask)
