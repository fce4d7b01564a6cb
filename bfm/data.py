"""The plain arrays a face model is made of, checked once, independent of any file format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

Prior = Literal["normal", "unit"]
AlbedoSpace = Literal["linear", "srgb"]


class ModelDataError(ValueError):
    """The arrays of a face model do not fit together."""


@dataclasses.dataclass(frozen=True)
class SurfacePoints:
    """Points fixed on a triangle mesh, so that they move with it.

    Attributes:
        triangles: ``(N,)`` indices into the mesh's faces.
        barycentrics: ``(N, 3)`` weights of each triangle's corners; each row sums to 1.
    """

    triangles: IntArray
    barycentrics: FloatArray

    def __post_init__(self) -> None:
        n_points = len(self.triangles)
        if self.triangles.shape != (n_points,) or self.barycentrics.shape != (n_points, 3):
            raise ModelDataError(
                f"surface points need triangles (N,) and barycentrics (N, 3), got "
                f"{self.triangles.shape} and {self.barycentrics.shape}"
            )
        worst = float(np.abs(self.barycentrics.sum(axis=1) - 1.0).max(initial=0.0))
        if not worst <= 1e-4:
            raise ModelDataError(f"barycentrics must sum to 1 in each row, one is off by {worst:.2g}")

    @classmethod
    def at_vertices(cls, vertices: npt.ArrayLike, faces: IntArray) -> SurfacePoints:
        """Points that sit exactly on the given vertices, ``(N,)`` indices."""
        wanted = np.asarray(vertices, dtype=np.int64)
        corner_of = np.full(int(faces.max(initial=-1)) + 1, -1, dtype=np.int64)
        flat = faces.reshape(-1)
        corner_of[flat[::-1]] = np.arange(len(flat), dtype=np.int64)[::-1]
        inside = (wanted >= 0) & (wanted < len(corner_of))
        if not inside.all() or (corner_of[wanted] < 0).any():
            lost = [int(v) for v in wanted if not 0 <= v < len(corner_of) or corner_of[v] < 0]
            raise ModelDataError(f"vertices {lost[:5]} belong to no triangle, so no point can sit there")
        corners = corner_of[wanted]
        barycentrics = np.zeros((len(wanted), 3), dtype=np.float32)
        barycentrics[np.arange(len(wanted)), corners % 3] = 1.0
        return cls(triangles=corners // 3, barycentrics=barycentrics)

    def at(self, vertices: FloatArray, faces: IntArray) -> FloatArray:
        """Positions ``(N, 3)`` of the points on a mesh with ``(V, 3)`` vertices."""
        return np.asarray(np.einsum("nk,nkc->nc", self.barycentrics, vertices[faces[self.triangles]]))


@dataclasses.dataclass(frozen=True)
class ModelData:
    """A linear face model as arrays: what loaders return and what the cache stores.

    Units: millimetres; frame: right-handed, x to the viewer's right, y up, the face looks along +z.

    Attributes:
        name: short name, such as ``"open"``.
        licence: one or two sentences naming the licence and what it allows.
        source: where the data comes from.
        mean_shape: ``(V, 3)`` mm.
        identity_basis: ``(V, 3, Ki)`` mm per standard deviation.
        expression_basis: ``(V, 3, Ke)`` mm per standard deviation, or per full weight when the prior is ``"unit"``.
        faces: ``(F, 3)`` counter-clockwise seen from outside.
        mean_albedo: ``(V, 3)`` in [0, 1]; mid-grey in a model without appearance.
        albedo_basis: ``(V, 3, Ka)`` per standard deviation; Ka may be 0.
        albedo_space: whether the albedo values are linear light or sRGB code values.
        uv: ``(U, 2)`` in [0, 1], origin at the lower left; empty when the model has none.
        uv_faces: ``(F, 3)`` indices into ``uv``.
        identity_prior, expression_prior, albedo_prior: ``"normal"`` for N(0, 1), ``"unit"`` for weights in [0, 1].
        expression_names: names of the expression components, or empty.
        regions: vertex masks ``(V,)`` by name.
        landmarks: point sets by name, such as ``"68"``.
    """

    name: str
    licence: str
    source: str
    mean_shape: FloatArray
    identity_basis: FloatArray
    expression_basis: FloatArray
    faces: IntArray
    mean_albedo: FloatArray
    albedo_basis: FloatArray
    albedo_space: AlbedoSpace = "srgb"
    uv: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.float32))
    uv_faces: IntArray = dataclasses.field(default_factory=lambda: np.zeros((0, 3), np.int64))
    identity_prior: Prior = "normal"
    expression_prior: Prior = "normal"
    albedo_prior: Prior = "normal"
    expression_names: tuple[str, ...] = ()
    regions: Mapping[str, BoolArray] = dataclasses.field(default_factory=dict)
    landmarks: Mapping[str, SurfacePoints] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        n_vertices = len(self.mean_shape)
        self._check("mean_shape", self.mean_shape, (n_vertices, 3))
        for name in ("identity_basis", "expression_basis", "albedo_basis"):
            basis = getattr(self, name)
            self._check(name, basis, (n_vertices, 3, basis.shape[-1]))
        self._check("mean_albedo", self.mean_albedo, (n_vertices, 3))
        self._check("faces", self.faces, (len(self.faces), 3), below=n_vertices)
        self._check("uv", self.uv, (len(self.uv), 2))
        n_uv_faces = len(self.faces) if len(self.uv) else 0
        self._check("uv_faces", self.uv_faces, (n_uv_faces, 3), below=len(self.uv))
        n_expression = self.expression_basis.shape[-1]
        if self.expression_names and len(self.expression_names) != n_expression:
            raise ModelDataError(
                f"model {self.name!r}: {len(self.expression_names)} expression names for {n_expression} components"
            )
        for name, mask in self.regions.items():
            self._check(f"region {name!r}", mask, (n_vertices,))
        for name, points in self.landmarks.items():
            self._check(f"landmarks {name!r}", points.triangles, (len(points.triangles),), below=len(self.faces))

    def on_faces(self, faces: IntArray, numbers: IntArray) -> ModelData:
        """The model on fewer triangles, between some of its vertices, without texture coordinates.

        Args:
            faces: ``(G, 3)`` in numbers of this model's vertices; those that none of them has go.
            numbers: ``(G,)`` which of this model's faces they were. Landmark sets with a point on another are left out.
        """
        vertices = np.unique(faces)
        new_vertex = np.full(len(self.mean_shape), -1, np.int64)
        new_vertex[vertices] = np.arange(len(vertices))
        new_face = np.full(len(self.faces), -1, np.int64)
        new_face[numbers] = np.arange(len(numbers))
        points = {name: (new_face[p.triangles], p.barycentrics) for name, p in self.landmarks.items()}
        return dataclasses.replace(
            self,
            mean_shape=self.mean_shape[vertices],
            identity_basis=self.identity_basis[vertices],
            expression_basis=self.expression_basis[vertices],
            mean_albedo=self.mean_albedo[vertices],
            albedo_basis=self.albedo_basis[vertices],
            faces=new_vertex[faces],
            uv=np.zeros((0, 2), np.float32),
            uv_faces=np.zeros((0, 3), np.int64),
            regions={name: mask[vertices] for name, mask in self.regions.items()},
            landmarks={name: SurfacePoints(t, w) for name, (t, w) in points.items() if (t >= 0).all()},
        )

    def _check(self, what: str, array: np.ndarray, shape: tuple[int, ...], below: int | None = None) -> None:
        if array.shape != shape:
            raise ModelDataError(f"model {self.name!r}: {what} must have shape {shape}, got {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelDataError(f"model {self.name!r}: {what} holds nan or inf")
        if below is not None and array.size and (array.min() < 0 or array.max() >= below):
            raise ModelDataError(
                f"model {self.name!r}: {what} must hold indices in [0, {below}), found {array.min()}..{array.max()}"
            )
