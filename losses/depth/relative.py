"""Losses that leave out what one picture hardly tells: the distance, the scale, or both."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, masked_pair, picture_means, windowed_mean

Rho = Literal["absolute", "squared"]
_FLAT = 1e-12


def global_mean_removed(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """mean |e - mean e|: each map less its mean over the mask; the review's Eq. 7. Does not change with an offset."""
    predicted, true = masked_pair(predicted, true, mask)
    error = true - predicted
    return picture_means((error - as_map(picture_means(error, mask))).abs(), mask)


def local_mean_removed(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    window_px: int = 15,
) -> Float[Tensor, " b"]:
    """mean |e - box mean of e|: each map less its mean around each pixel; the review's Eq. 8. Does not change with an offset.

    The mean is over what lies in the mask of a window of ``window_px`` a side (m, which the review does not give).

    Raises:
        ValueError: a window that is even or smaller than 3.
    """
    if window_px < 3 or window_px % 2 == 0:
        raise ValueError(f"the local mean needs an odd window of at least 3 px, got {window_px}")
    predicted, true = masked_pair(predicted, true, mask)
    # Means are linear, so that of the difference is the difference of both, without the rounding of large depths.
    error = true - predicted
    box = torch.full((window_px,), 1.0 / window_px, dtype=error.dtype, device=error.device)
    return picture_means((error - windowed_mean(error, mask, box)).abs(), mask)


def scale_invariant(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    rho: Rho = "absolute",
) -> Float[Tensor, " b"]:
    """(1 / 2N) sum rho(true - s predicted) with the least-squares s of the picture; the first of the review's two losses 14.

    Its Eq. 14-1, in which rho is the difference of logarithms, is :func:`losses.depth.logarithmic.scale_invariant_log`.

    Raises:
        ValueError: an unknown rho.
    """
    predicted, true = masked_pair(predicted, true, mask)
    power = picture_means(predicted.square(), mask)
    slope = _ratio(picture_means(predicted * true, mask), power, power > 0.0)
    return 0.5 * picture_means(_rho(true - as_map(slope) * predicted, rho), mask)


def scale_and_shift_invariant(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    rho: Rho = "absolute",
) -> Float[Tensor, " b"]:
    """(1 / 2N) sum rho(true - s predicted - t) with the least-squares s and t of the picture (Ranftl et al. 2022); the review's
    Eq. 14, which does not say how the maps are aligned.

    A prediction that is flat to a millionth of its depth has no scale; it is then compared by its offset alone.

    Raises:
        ValueError: an unknown rho.
    """
    predicted, true = masked_pair(predicted, true, mask)
    means = [picture_means(maps, mask) for maps in (predicted, true)]
    relief, wanted = (maps - as_map(mean) for maps, mean in zip((predicted, true), means, strict=True))
    spread = picture_means(relief.square(), mask)
    slope = _ratio(picture_means(relief * wanted, mask), spread, spread > _FLAT * means[0].square())
    return 0.5 * picture_means(_rho(wanted - as_map(slope) * relief, rho), mask)


def _ratio(numerator: Float[Tensor, " b"], denominator: Float[Tensor, " b"], defined: Bool[Tensor, " b"]) -> Tensor:
    """A quotient where it is defined, 0 elsewhere, with a finite gradient in both cases."""
    safe = torch.where(defined, denominator, torch.ones_like(denominator))
    return torch.where(defined, numerator / safe, torch.zeros_like(numerator))


def _rho(error: Float[Tensor, "b 1 h w"], rho: Rho) -> Float[Tensor, "b 1 h w"]:
    if rho == "absolute":
        return error.abs()
    if rho == "squared":
        return error.square()
    raise ValueError(f"unknown rho {rho!r}; known: absolute, squared")
