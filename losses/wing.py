"""Wing loss for dense landmarks (Feng et al. 2018), and its mixture with the squared error."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def wing(difference: Float[Tensor, "*n"], width: float = 15.0, curvature: float = 3.0) -> Float[Tensor, "*n"]:
    """w ln(1 + |x| / eps) for |x| < w, else |x| - C with C = w - w ln(1 + w / eps), which joins the two. Not reduced.

    Args:
        difference: any shape.
        width: w, in units of the input.
        curvature: eps, in units of the input.

    Raises:
        ValueError: a width or curvature that is not positive.
    """
    if not (width > 0.0 and curvature > 0.0):
        raise ValueError(f"wing loss needs a positive width and curvature, got {width} and {curvature}")
    size = difference.abs()
    offset = width - width * math.log1p(width / curvature)
    # The branch that is not taken sees a harmless value, so that no inf * 0 enters the gradient.
    near = width * torch.log1p(size.clamp_max(width) / curvature)
    return torch.where(size < width, near, size - offset)


def wing_loss(
    predicted: Float[Tensor, "b n d"],
    target: Float[Tensor, "b n d"],
    width: float = 15.0,
    curvature: float = 3.0,
) -> Float[Tensor, ""]:
    """Mean Wing over all coordinates."""
    return wing(predicted - target, width, curvature).mean()


def dense_landmark_loss(
    predicted: Float[Tensor, "b n d"],
    target: Float[Tensor, "b n d"],
    *,
    wing_weight: float = 1.5,
    squared_weight: float = 0.5,
) -> Float[Tensor, ""]:
    """1.5 Wing + 0.5 MSE, the loss of the dissertation's dense landmarks; units of the input (pixels there)."""
    return wing_weight * wing_loss(predicted, target) + squared_weight * (predicted - target).square().mean()
