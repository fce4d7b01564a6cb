"""Does the rendered face look like the same person (Eq. 12 of the reconstruction paper)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def perceptual_loss(predicted: Float[Tensor, "b d"], target: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """1 - cosine of two face embeddings, mean over the batch: 0 for the same direction, 2 for opposite ones.

    The zero vector has no direction: its cosine counts as 0.
    """
    return (1.0 - torch.nn.functional.cosine_similarity(predicted, target, dim=-1, eps=1e-8)).mean()
