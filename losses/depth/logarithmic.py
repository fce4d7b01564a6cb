"""Losses of d = ln(true) - ln(predicted), without a unit: only the ratio of depths counts."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, log_error, picture_means

_UNDER_THE_ROOT = 1e-8


def scale_invariant_log(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    balance: float = 0.5,
) -> Float[Tensor, " b"]:
    """mean d^2 - lambda (mean d)^2: Eigen et al. 2014, the review's Eq. 2 (which prints lambda / N for lambda / N^2) and, with the
    free lambda, its Eq. 14-1.

    Args:
        predicted, true: in any unit, true positive on the mask.
        mask: what counts.
        balance: lambda in [0, 1]; 1 does not see the scale at all, 0.5 (the papers') sees half of its square.

    Raises:
        ValueError: a balance outside [0, 1].
    """
    return _balanced_variance(log_error(predicted, true, mask), mask, balance)


def silog(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    balance: float = 0.5,
    factor: float = 10.0,
) -> Float[Tensor, " b"]:
    """alpha sqrt(mean d^2 - lambda (mean d)^2): the root of :func:`scale_invariant_log`; the review's Eq. 5.

    The review prints lambda = 0.5 and no alpha; 10 is that of BTS (Lee et al. 2019), which has lambda = 0.85.

    Raises:
        ValueError: a balance outside [0, 1].
    """
    square = _balanced_variance(log_error(predicted, true, mask), mask, balance)
    # A hair's breadth under the root keeps the gradient finite at 0; taken out again, so that 0 stays 0.
    return factor * ((square + _UNDER_THE_ROOT**2).sqrt() - _UNDER_THE_ROOT)


def _balanced_variance(
    error: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"], balance: float
) -> Float[Tensor, " b"]:
    """The variance and a part of the squared mean: the difference of both squares would cancel in float32."""
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"the balance of a scale-invariant loss lies in [0, 1], got {balance}")
    mean = picture_means(error, mask)
    return picture_means((error - as_map(mean)).square(), mask) + (1.0 - balance) * mean.square()
