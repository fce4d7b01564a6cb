"""Sparse landmarks: weighted squared distance plus the difference of openings (Eq. 10 of the reconstruction paper)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.landmarks import INNER_MOUTH_68, NOSE_68, OPENINGS_68

EMPHASIS = 20.0


def paper_weights68() -> Float[Tensor, " 68"]:
    """20 for nose and inner mouth, 1 elsewhere (Eq. 10)."""
    weights = torch.ones(68)
    weights[list(NOSE_68 + INNER_MOUTH_68)] = EMPHASIS
    return weights


def landmark_loss(
    predicted: Float[Tensor, "b n d"],
    target: Float[Tensor, "b n d"],
    weights: Float[Tensor, " n"] | None = None,
    visible: Bool[Tensor, "b n"] | None = None,
) -> Float[Tensor, ""]:
    """(1/N) sum of w_n ||q_n - q'_n||^2, mean over the batch; squared units of the input (pixels in the paper).

    Args:
        predicted, target: ``(B, N, D)`` in the same frame.
        weights: ``(N,)``; ``None`` is 1 for all.
        visible: ``(B, N)``; points that are not visible do not count, in the sum or in N.
    """
    squared = (predicted - target).square().sum(dim=-1)
    counts = torch.ones_like(squared) if visible is None else visible.to(squared.dtype)
    weighted = squared * counts if weights is None else squared * counts * weights
    return weighted.sum() / counts.sum().clamp_min(1.0)


def opening_loss(
    predicted: Float[Tensor, "b n d"],
    target: Float[Tensor, "b n d"],
    pairs: tuple[tuple[int, int], ...] = OPENINGS_68,
) -> Float[Tensor, ""]:
    """L_gdl,lmk of Eq. 10: mean over pairs of | |q_a - q_b| - |q'_a - q'_b| |, the gradient difference of
    Mathieu et al. 2015 with pairs of landmarks for neighbouring pixels. In units of the input; does not change when
    either face is moved."""
    upper, lower = zip(*pairs, strict=True)
    open_predicted = (predicted[:, list(upper)] - predicted[:, list(lower)]).abs()
    open_target = (target[:, list(upper)] - target[:, list(lower)]).abs()
    return (open_predicted - open_target).abs().sum(dim=-1).mean()
