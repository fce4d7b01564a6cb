"""What covers the head: sheets and tubes of fixed topology; whatever a sample lacks has no area and is not drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A piece of geometry on B heads.

    Attributes:
        v_cam: ``(B, G, 3)`` mm, camera frame.
        faces: ``(F, 3)``.
        albedo: ``(B, G, 3)`` linear.
        place: ``(B, G, 3)`` coordinates on the part, whose meaning is the segment's (see ``cover``).
        segment: id in SEGMENT_NAMES.
    """

    v_cam: Float[Tensor, "b g 3"]
    faces: Int[Tensor, "f 3"]
    albedo: Float[Tensor, "b g 3"]
    place: Float[Tensor, "b g 3"]
    segment: int


@dataclasses.dataclass(frozen=True, eq=False)
class Binding:
    """Points that move with the vertices of a head: means of near vertices.

    Attributes:
        vertices: ``(G, 4)`` int64.
        weights: ``(G, 4)``, rows sum to 1.
    """

    vertices: Int[Tensor, "g 4"]
    weights: Float[Tensor, "g 4"]

    @classmethod
    def along(cls, rays: np.ndarray, centre: np.ndarray, vertices: np.ndarray, allowed: np.ndarray) -> Binding:
        """Bound where rays ``(G, 3)`` from a centre leave a head that is star-shaped around it.

        Args:
            rays: directions of any length.
            centre: ``(3,)``.
            vertices: ``(V, 3)`` of the mean head.
            allowed: ``(V,)`` bool, vertices that may be used.
        """
        candidates = np.nonzero(allowed)[0]
        away = vertices[candidates] - centre
        tree = cKDTree(away / np.linalg.norm(away, axis=1, keepdims=True))
        distance, near = tree.query(rays / np.linalg.norm(rays, axis=1, keepdims=True), k=4)
        weights = 1.0 / (distance + 0.004) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        return cls(torch.as_tensor(candidates[near]), torch.as_tensor(weights.astype(np.float32)))

    def to(self, device: torch.device) -> Binding:
        """The same on another device."""
        return Binding(self.vertices.to(device), self.weights.to(device))

    def at(self, values: Float[Tensor, "b v c"]) -> Float[Tensor, "b g c"]:
        """Per-vertex values at the bound points."""
        return torch.einsum("gk,bgkc->bgc", self.weights, values[:, self.vertices])


def grid_faces(rows: int, columns: int, closed: bool = False) -> Int[Tensor, "f 3"]:
    """Two triangles for each cell of a grid, vertices row by row; ``closed`` joins the last column to the first.

    Counter-clockwise where rows run down and columns to the right.
    """
    cells = columns if closed else columns - 1
    row, column = torch.meshgrid(torch.arange(rows - 1), torch.arange(cells), indexing="ij")
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    c, d = a + columns, b + columns
    return torch.stack((torch.stack((a, c, b), -1), torch.stack((b, c, d), -1)), dim=2).reshape(-1, 3)


def joined(parts: Sequence[Part]) -> tuple[Part, Int[Tensor, " f"]]:
    """All parts as one, and the segment of each face."""
    faces, segments, first = [], [], 0
    for part in parts:
        faces.append(part.faces + first)
        segments.append(torch.full((len(part.faces),), part.segment, device=part.faces.device))
        first += part.v_cam.shape[1]
    whole = Part(
        torch.cat([part.v_cam for part in parts], dim=1),
        torch.cat(faces),
        torch.cat([part.albedo for part in parts], dim=1),
        torch.cat([part.place for part in parts], dim=1),
        parts[0].segment,
    )
    return whole, torch.cat(segments)


def present(v_cam: Float[Tensor, "b g 3"], there: Tensor) -> Float[Tensor, "b g 3"]:
    """Vertices of those that have the part; of the others all in one spot."""
    return torch.where(there[:, None, None], v_cam, v_cam[:, :1])
