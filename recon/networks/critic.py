"""The discriminator of the adversarial loss: does this shape look like a real person's."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bfm.model import MorphableModel


class ShapeCritic(nn.Module):
    """A small network on the vertices of a face, in units of their spread about the mean face.

    Args:
        mean_mm: ``(N, 3)`` the mean face at the vertices that are judged.
        spread_mm: typical distance from it.
        width: of the hidden layers.
    """

    mean_mm: Float[Tensor, "n 3"]

    def __init__(self, mean_mm: Float[Tensor, "n 3"], spread_mm: float = 5.0, width: int = 256) -> None:
        super().__init__()
        if not spread_mm > 0.0:
            raise ValueError(f"the critic needs a positive spread in mm, got {spread_mm}")
        self.register_buffer("mean_mm", mean_mm.detach().clone())
        self.spread_mm = spread_mm
        # No norm over the batch: the gradient penalty is taken a sample.
        self.layers = nn.Sequential(
            nn.Linear(mean_mm.numel(), width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, vertices_mm: Float[Tensor, "b n 3"]) -> Float[Tensor, " b"]:
        """The critic's value ``(B,)``: high for real shapes."""
        scaled = (vertices_mm - self.mean_mm) / self.spread_mm
        value: Tensor = self.layers(scaled.flatten(1)).squeeze(-1)
        return value


def critic_vertices(model: MorphableModel, n_points: int = 1024, region: str = "face") -> Int[Tensor, " n"]:
    """Evenly spaced vertices of a region (of the whole model if it has no such region) for the critic to look at."""
    inside = model.region(region) if region in model.region_names else torch.ones(model.n_vertices, dtype=torch.bool)
    vertices = torch.nonzero(inside.cpu()).squeeze(1)
    steps = torch.linspace(0, len(vertices) - 1, min(n_points, len(vertices))).round().long()
    return vertices[steps].to(model.mean_shape.device)
