"""Tells people apart by angles between embeddings: the loss of ArcFace (Deng et al. 2019, Eq. 3)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def angular_margin_loss(
    embeddings: Float[Tensor, "b d"],
    prototypes: Float[Tensor, "c d"],
    person: Int[Tensor, " b"],
    margin_rad: float = 0.5,
    scale: float = 64.0,
) -> Float[Tensor, ""]:
    """Cross-entropy of scaled cosines in which each picture must be nearer to its own person by a margin.

    With the angle t to the own person's prototype, its logit is ``scale`` cos(t + margin). Where t + margin would exceed a
    half turn it goes on in a straight line, cos(t) - margin sin(margin), so that it never rises with t.

    Args:
        embeddings, prototypes: of pictures and of persons, of any length but 0.
        person: row of the own prototype.
        margin_rad: at least 0, below half a turn.
        scale: of cosines, positive.

    Raises:
        ValueError: a margin or scale beyond this.
    """
    if not 0.0 <= margin_rad < math.pi or not scale > 0.0:
        raise ValueError(f"margins lie in [0, pi) and scales above 0, got {margin_rad} and {scale}")
    normalize = torch.nn.functional.normalize
    cosine = normalize(embeddings) @ normalize(prototypes).T
    own = cosine.gather(1, person[:, None])
    # Away from the ends, where the sine has no derivative.
    sine = (1.0 - own.square()).clamp_min(1e-9).sqrt()
    moved = own * math.cos(margin_rad) - sine * math.sin(margin_rad)
    beyond = own - margin_rad * math.sin(margin_rad)
    moved = torch.where(own > -math.cos(margin_rad), moved, beyond)
    return torch.nn.functional.cross_entropy(scale * cosine.scatter(1, person[:, None], moved), person)
