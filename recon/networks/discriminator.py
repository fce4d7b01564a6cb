"""The discriminator of the adversarial loss: does this shape look like a real person's."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bfm.model import MorphableModel


class ShapeDiscriminator(nn.Module):
    """A small network on the vertices of a face, normalised by their deviation from the mean face.

    Shapes come in decimetres, as in the paper: the gradient penalty of :mod:`losses.adversarial` is a power of a slope per unit
    of its input, so k = 2, p = 6 and w5 = 0.10 mean what they mean there in that unit alone.

    Args:
        mean_dm: ``(N, 3)`` the mean face at the vertices that are judged.
        deviation_dm: typical distance from it.
        width: of the hidden layers.
    """

    mean_dm: Float[Tensor, "n 3"]

    def __init__(self, mean_dm: Float[Tensor, "n 3"], deviation_dm: float = 0.05, width: int = 256) -> None:
        super().__init__()
        if not deviation_dm > 0.0:
            raise ValueError(f"the discriminator needs a positive deviation in dm, got {deviation_dm}")
        self.register_buffer("mean_dm", mean_dm.detach().clone())
        self.deviation_dm = deviation_dm
        # No norm over the batch: the gradient penalty is taken a sample.
        self.layers = nn.Sequential(
            nn.Linear(mean_dm.numel(), width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, vertices_dm: Float[Tensor, "b n 3"]) -> Float[Tensor, " b"]:
        """The discriminator's value ``(B,)``: high for real shapes."""
        scaled = (vertices_dm - self.mean_dm) / self.deviation_dm
        value: Tensor = self.layers(scaled.flatten(1)).squeeze(-1)
        return value


def discriminator_vertices(model: MorphableModel, n_points: int = 1024, region: str = "face") -> Int[Tensor, " n"]:
    """Vertices of a region (of the whole model if it has no such region), spread evenly over its surface.

    Farthest point sampling on the mean face: each next vertex is the one farthest from those taken (Gonzalez 1985). The
    paper's discriminator sees all vertices, which ``n_points`` large enough gives.
    """
    inside = model.region(region) if region in model.region_names else torch.ones(model.n_vertices, dtype=torch.bool)
    vertices = torch.nonzero(inside.cpu()).squeeze(1)
    points = model.mean_shape.detach().cpu()[vertices]
    taken = [int((points - points.mean(dim=0)).norm(dim=1).argmin())]
    distance = torch.full((len(points),), torch.inf)
    for _ in range(min(n_points, len(points)) - 1):
        distance = torch.minimum(distance, (points - points[taken[-1]]).norm(dim=1))
        taken.append(int(distance.argmax()))
    return vertices[torch.tensor(taken).sort().values].to(model.mean_shape.device)
