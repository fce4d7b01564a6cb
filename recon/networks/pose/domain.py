"""Adversarial adaptation of features: gradient reversal and the classifier that it leads to (Ganin and Lempitsky 2015)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

WIDTH = 100


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features themselves; their gradient comes back times ``-strength`` (mu of Eq. 11 of the head pose paper)."""
    reversed_features: Tensor = _Reversal.apply(features, strength)
    return reversed_features


class DomainClassifier(nn.Module):
    """Whether features are those of a synthetic picture (source, 1) or of a real one (target, 0).

    Linear, batch norm, linear, ReLU, linear, as the head pose paper has it (VII-A.3); it does not tell the widths, which are
    those of its released program.

    Args:
        n_inputs: numbers of all fine-grained features together.
    """

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, WIDTH), nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )

    def forward(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, " b"]:
        """Logits of the source."""
        found: Tensor = self.layers(features.flatten(1))
        return found[:, 0]
