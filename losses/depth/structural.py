"""Structural similarity (Wang et al. 2004) of maps and pictures, over the masked part of each window."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, masked_pair, picture_means, windowed_mean

WINDOW_PX = 11
SIGMA_PX = 1.5


def ssim_map(
    first: Float[Tensor, "b c h w"],
    second: Float[Tensor, "b c h w"],
    mask: Bool[Tensor, "b 1 h w"],
    data_range: float,
) -> Float[Tensor, "b c h w"]:
    """SSIM around each pixel: Gaussian windows of 11 px and sigma 1.5 px, K1 = 0.01 and K2 = 0.03.

    Args:
        first, second: zero off the mask.
        mask: each window counts what lies in it.
        data_range: L, in the unit of the maps: differences far below 0.03 L are not seen.

    Raises:
        ValueError: a range that is not positive.
    """
    if not data_range > 0.0:
        raise ValueError(f"SSIM needs a positive data range, got {data_range}")
    steps = torch.arange(WINDOW_PX, dtype=first.dtype, device=first.device) - WINDOW_PX // 2
    window = torch.exp(-0.5 * (steps / SIGMA_PX).square())
    window = window / window.sum()
    # Variances are taken about the picture's mean: in float32 the squares of whole depths would drown them.
    base = as_map(picture_means(second, mask).detach())
    a, b = ((maps - base).masked_fill(~mask, 0.0) for maps in (first, second))
    moments = windowed_mean(torch.cat([a, b, a.square(), b.square(), a * b], dim=1), mask, window)
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, dim=1)
    variance_a, variance_b = square_a - mean_a.square(), square_b - mean_b.square()
    covariance = product - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    whole_a, whole_b = mean_a + base, mean_b + base
    luminance = (2.0 * whole_a * whole_b + c1) / (whole_a.square() + whole_b.square() + c1)
    return luminance * (2.0 * covariance + c2) / (variance_a + variance_b + c2)


def ssim(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    data_range: float = 200.0,
    max_depth: float = 1.0,
) -> Float[Tensor, " b"]:
    """(1 - mean SSIM) / MaxDepth: Eq. 3 of the third depth paper, the review's Eq. 9. Between 0 and 2 / MaxDepth.

    Args:
        predicted, true: depth.
        mask: what counts.
        data_range: L of SSIM, in the unit of the maps. The default, 200 mm, is the relief of a head; with the papers' MaxDepth as
            L, the relief of a face lies far below the constants of SSIM and changes nothing.
        max_depth: the papers' divisor, which they do not give; 1 leaves it out.

    Raises:
        ValueError: a range or a divisor that is not positive.
    """
    if not max_depth > 0.0:
        raise ValueError(f"the SSIM loss needs a positive MaxDepth, got {max_depth}")
    predicted, true = masked_pair(predicted, true, mask)
    return picture_means(1.0 - ssim_map(predicted, true, mask, data_range), mask) / max_depth
