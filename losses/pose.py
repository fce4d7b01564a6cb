"""Rotation and place of the head."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_loss(predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"]) -> Float[Tensor, ""]:
    """Mean geodesic angle in radians, [0, pi], between rotation matrices.

    From the chord: ||R - R'||_F = 2 sqrt(2) sin(angle / 2), which is accurate for small angles, where the arc cosine of
    the trace is not. Within 0.1 degree of 0 and of pi the chord is continued smoothly, so the gradient stays finite.
    """
    chord2 = (predicted - target).square().sum(dim=(-2, -1)) / 8.0
    tiny = 7.6e-7  # (sin of half of 0.1 degree)^2
    middle = chord2.clamp(tiny, 1.0 - tiny)
    angle = 2.0 * torch.asin(middle.sqrt())
    # Below: a parabola through 0 that meets the angle; above: a line with the slope at the border.
    small = 2.0 * chord2 / (tiny**0.5)
    large = angle + (chord2 - middle) / (tiny * (1.0 - tiny)) ** 0.5
    return torch.where(chord2 < tiny, small, torch.where(chord2 > 1.0 - tiny, large, angle)).mean()


def translation_loss(predicted_mm: Float[Tensor, "b 3"], target_mm: Float[Tensor, "b 3"]) -> Float[Tensor, ""]:
    """Mean over the batch of the gap's size in shares of the true distance: a head twice as far away may be missed by twice
    as much."""
    distance = torch.linalg.vector_norm(target_mm, dim=-1)
    # A hair's breadth under the root keeps the gradient finite at 0; taken out again, so that 0 stays 0.
    squared = (predicted_mm - target_mm).square().sum(dim=-1)
    gap = (squared + 1e-6).sqrt() - 1e-3
    return (gap / distance.clamp_min(1.0)).mean()
