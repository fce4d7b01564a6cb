"""Vertices and coefficients against labels (Eq. 13 of the reconstruction paper)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

MM_PER_DM = 100.0
"""The paper's shapes are in decimetres, the unit of the Basel model as Deng et al. scale it; those here are in millimetres."""


def shape_loss(
    predicted: Float[Tensor, "b v 3"],
    target: Float[Tensor, "b v 3"],
    weights: Float[Tensor, " v"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over vertices of ||s' - s||_1 (Eq. 13), in units of the input; training passes decimetres.

    Args:
        predicted, target: the same vertices of two shapes, in one frame. Labels of a larger template are first reduced to
            the vertices that both have (the ``v`` of Eq. 13).
        weights: ``(V,)``; ``None`` is 1 for all.
    """
    gap = (predicted - target).abs().sum(dim=-1)
    if weights is None:
        return gap.mean()
    return (gap * weights).sum() / (weights.sum() * len(gap)).clamp_min(1e-12)


def coefficient_loss(predicted: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean absolute difference of coefficients; in standard deviations for blocks with a normal prior."""
    return (predicted - target).abs().mean()
