"""A triangle surface for measuring: parts of it, its border, its vertex areas and its nearest points."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Int

from bfm.surface import ClosestPoints, SurfaceTree
from recon.alignment import Similarity


@dataclasses.dataclass(frozen=True, eq=False)
class TriangleSurface:
    """Vertices and triangles, float64 and checked.

    Attributes:
        vertices: ``(V, 3)``.
        faces: ``(F, 3)`` indices of vertices.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @functools.cached_property
    def tree(self) -> SurfaceTree:
        """The search tree, built on first use."""
        return SurfaceTree(self.vertices, self.faces)

    @functools.cached_property
    def face_normals(self) -> Float[np.ndarray, "f 3"]:
        """Unit normals; zero for triangles without area."""
        cross = self._cross
        lengths = np.linalg.norm(cross, axis=1, keepdims=True)
        return np.where(lengths > 1e-300, cross / np.maximum(lengths, 1e-300), 0.0)

    @functools.cached_property
    def border_faces(self) -> Bool[np.ndarray, " f"]:
        """Triangles with an edge that no other triangle shares."""
        edges = np.sort(self.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        keys = edges[:, 0].astype(np.int64) * len(self.vertices) + edges[:, 1]
        _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
        return np.asarray((counts[index.reshape(-1)] == 1).reshape(-1, 3).any(axis=1))

    @functools.cached_property
    def vertex_areas(self) -> Float[np.ndarray, " v"]:
        """A third of the area of the triangles around each vertex."""
        areas = np.zeros(len(self.vertices))
        np.add.at(areas, self.faces, (np.linalg.norm(self._cross, axis=1) / 6.0)[:, None])
        return areas

    def closest(self, points: Float[np.ndarray, "n 3"]) -> ClosestPoints:
        """Nearest surface points."""
        return self.tree.query(points)

    def cropped(self, keep: Bool[np.ndarray, " v"]) -> TriangleSurface:
        """The triangles all of whose vertices are kept; unused vertices go.

        Raises:
            ValueError: nothing is left.
        """
        faces = self.faces[keep[self.faces].all(axis=1)]
        if len(faces) == 0:
            raise ValueError("nothing of the surface is left after cropping")
        used = np.zeros(len(self.vertices), dtype=bool)
        used[faces] = True
        number = np.cumsum(used) - 1
        return TriangleSurface(self.vertices[used], number[faces])

    def within(self, centre: Float[np.ndarray, " 3"], radius: float) -> TriangleSurface:
        """The part whose vertices lie in a ball.

        Raises:
            ValueError: nothing is left.
        """
        return self.cropped(np.linalg.norm(self.vertices - centre, axis=1) <= radius)

    def moved(self, motion: Similarity) -> TriangleSurface:
        """The surface after a similarity."""
        return TriangleSurface(motion.apply(self.vertices), self.faces)

    @functools.cached_property
    def _cross(self) -> Float[np.ndarray, "f 3"]:
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        return np.cross(b - a, c - a)
