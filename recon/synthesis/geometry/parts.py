"""Parts of the occluders: sheets and tubes of fixed topology; what a sample lacks has no area and is not rendered."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.synthesis.geometry.attributes import PartAttributes


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A piece of geometry on B heads.

    Attributes:
        v_cam: ``(B, G, 3)`` mm, camera frame.
        faces: ``(F, 3)``.
        albedo: ``(B, G, 3)`` linear.
        attributes: ``(B, G)`` each, of the part's kind; ``None`` for a part that needs none.
        segment: id in SEGMENT_NAMES.
    """

    v_cam: Float[Tensor, "b g 3"]
    faces: Int[Tensor, "f 3"]
    albedo: Float[Tensor, "b g 3"]
    attributes: PartAttributes | None
    segment: int


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """B heads that parts are fitted to.

    Attributes:
        model: of the heads.
        v_obj: ``(B, V, 3)`` mm, object frame.
        albedo: ``(B, V, 3)`` in the model's space.
        camera: with the pose of the heads.
    """

    model: MorphableModel
    v_obj: Float[Tensor, "b v 3"]
    albedo: Float[Tensor, "b v 3"]
    camera: PerspectiveCamera

    @property
    def landmarks_obj(self) -> Float[Tensor, "b 68 3"]:
        """The 68 landmarks in mm, object frame."""
        return self.model.landmarks68(self.v_obj)


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


def collapse_absent(v_cam: Float[Tensor, "b g 3"], has_part: Bool[Tensor, " b"]) -> Float[Tensor, "b g 3"]:
    """Vertices of heads that have the part; of the others all in one spot, so that their triangles have no area."""
    return torch.where(has_part[:, None, None], v_cam, v_cam[:, :1])
