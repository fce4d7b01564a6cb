"""Robust weights: what a residual far beyond its noise counts for."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def geman_mcclure(residual2: Float[Tensor, "*n"], scale2: float | Float[Tensor, "*_m"]) -> Float[Tensor, "*n"]:
    """Weight of squared residuals in reweighted least squares (Geman and McClure 1985): a quarter at the scale.

    Args:
        residual2: squared residuals.
        scale2: squared residual that counts a quarter.
    """
    return 1.0 / (1.0 + residual2 / scale2) ** 2


def cauchy(residual2: Float[Tensor, "*n"], scale2: float | Float[Tensor, "*_m"]) -> Float[Tensor, "*n"]:
    """Weight of squared residuals in reweighted least squares under Cauchy noise: a half at the scale."""
    return 1.0 / (1.0 + residual2 / scale2)
