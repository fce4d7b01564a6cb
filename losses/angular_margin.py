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
    half turn it is ``scale`` (cos(t) - margin sin(margin)) instead, which goes on falling. Computed in float32 at least, also
    under autocast.

    Args:
        embeddings, prototypes: of pictures and of persons, of any length but 0.
        person: row of the own prototype.
        margin_rad: at least 0, below a quarter of a turn.
        scale: of cosines, positive.

    Raises:
        ValueError: a margin or scale beyond this.
    """
    check_margin(margin_rad, scale)
    dtype = torch.promote_types(torch.promote_types(embeddings.dtype, prototypes.dtype), torch.float32)
    with torch.autocast(embeddings.device.type, enabled=False):
        unit, directions = (torch.nn.functional.normalize(each.to(dtype)) for each in (embeddings, prototypes))
        cosine = unit @ directions.T
        own = cosine.gather(1, person[:, None])
        # Away from the ends, where the sine has no derivative.
        sine = (1.0 - own.square()).clamp_min(1e-9).sqrt()
        moved = own * math.cos(margin_rad) - sine * math.sin(margin_rad)
        beyond = own - margin_rad * math.sin(margin_rad)
        moved = torch.where(own > -math.cos(margin_rad), moved, beyond)
        return torch.nn.functional.cross_entropy(scale * cosine.scatter(1, person[:, None], moved), person)


def check_margin(margin_rad: float, scale: float) -> None:
    """Refuse what :func:`angular_margin_loss` cannot take.

    Raises:
        ValueError: a margin or scale beyond its range.
    """
    if not 0.0 <= margin_rad < 0.5 * math.pi or not 0.0 < scale < math.inf:
        raise ValueError(f"margins lie in [0, pi / 2) and scales above 0, got {margin_rad} and {scale}")
