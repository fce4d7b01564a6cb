"""Points that know how sure they are: the negative log-likelihood of Gaussians with a standard deviation of their own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian_landmark_nll(difference: Float[Tensor, "b n d"], log_sigma: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """d log sigma + |difference|^2 / (2 sigma^2) of each point; not reduced, constants left out.

    The Gaussian of a point is the same in all its d coordinates (Wood et al. 2022, "3D face reconstruction with dense
    landmarks", Eq. 1, with d = 2).

    Args:
        difference: ``(B, N, D)`` predicted less true.
        log_sigma: ``(B, N)`` logarithm of sigma in the same unit.
    """
    dimensions = difference.shape[-1]
    squared = difference.square().sum(dim=-1)
    return dimensions * log_sigma + 0.5 * squared * torch.exp(-2.0 * log_sigma)
