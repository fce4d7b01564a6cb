"""Capsules with routing by agreement (Sabour et al. 2017, "Dynamic routing between capsules")."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CapsuleLayer(nn.Module):
    """Features in, capsules out: each capsule is a mean of what the features say about it, in which those count most that agree.

    Args:
        n_features: features, M.
        feature_size: numbers in each, D.
        n_capsules: K.
        capsule_size: numbers in each, E.
        routings: how often the routing is settled, at least once.

    Raises:
        ValueError: no routing.
    """

    def __init__(self, n_features: int, feature_size: int, n_capsules: int, capsule_size: int, routings: int) -> None:
        super().__init__()
        if routings < 1:
            raise ValueError(f"capsules are routed at least once, got routings {routings}")
        self.routings = routings
        self.weight = nn.Parameter(torch.zeros(n_capsules, n_features, capsule_size, feature_size))
        reach = (6.0 / (feature_size + capsule_size)) ** 0.5  # as of a linear layer from a feature to a capsule
        nn.init.uniform_(self.weight, -reach, reach)

    def forward(self, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b k e"]:
        """Capsules, each shorter than 1."""
        # (B, K, M, E): what each feature says about each capsule.
        votes = (self.weight[None] @ features[:, None, :, :, None])[..., 0]
        leaning = torch.zeros_like(votes[..., 0])
        capsules = self._settled(votes, leaning)
        for _ in range(self.routings - 1):
            leaning = leaning + (votes * capsules[:, :, None]).sum(dim=-1)
            capsules = self._settled(votes, leaning)
        return capsules

    @staticmethod
    def _settled(votes: Float[Tensor, "b k m e"], leaning: Float[Tensor, "b k m"]) -> Float[Tensor, "b k e"]:
        share = leaning.softmax(dim=1)  # each feature divides itself among the capsules
        return squash((share[..., None] * votes).sum(dim=2))


def squash(vectors: Float[Tensor, "*b e"]) -> Float[Tensor, "*b e"]:
    """Vectors of the same direction and of length l^2 / (1 + l^2) (Eq. 1); the gradient at 0 is 0."""
    squared = vectors.square().sum(dim=-1, keepdim=True)
    # A hair's breadth under the root: the slope of the root at 0 is not finite.
    return vectors * (squared + 1e-12).sqrt() / (1.0 + squared)
