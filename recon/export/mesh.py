"""The mesh that all writers take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from recon.render.mesh import vertex_normals_of_arrays

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]

GENERATOR = "facerecon"


class MeshError(ValueError):
    """The arrays of a mesh do not fit together."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExportMesh:
    """A triangle mesh in the object frame: right-handed, mm, x to the viewer's right, y up, the face looks along +z.

    Attributes:
        vertices_mm: ``(V, 3)``.
        faces: ``(F, 3)`` indices of vertices, counter-clockwise seen from outside.
        uv: ``(U, 2)`` texture coordinates, origin at the lower left of the texture, or None.
        uv_faces: ``(F, 3)`` indices into ``uv``; given exactly when ``uv`` is.
        texture: ``(H, W, 3)`` uint8 sRGB, first row at the top, or None; needs ``uv``.
        colors: ``(V, 3)`` sRGB code values in [0, 1], or None.
        normals: ``(V, 3)`` unit vectors, or None: writers that need them take :func:`vertex_normals`.
        morph_targets: offsets ``(V, 3)`` in mm at full weight, by name, in the order they are written.
        name: of the object in the file; any text without line breaks.
    """

    vertices_mm: FloatArray
    faces: IntArray
    uv: FloatArray | None = None
    uv_faces: IntArray | None = None
    texture: npt.NDArray[np.uint8] | None = None
    colors: FloatArray | None = None
    normals: FloatArray | None = None
    morph_targets: Mapping[str, FloatArray] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    name: str = "face"

    def __post_init__(self) -> None:
        n_vertices, n_faces = len(self.vertices_mm), len(self.faces)
        if n_vertices == 0 or n_faces == 0:
            raise MeshError(f"a mesh needs vertices and faces, got {n_vertices} and {n_faces}")
        _check_array("vertices_mm", self.vertices_mm, (n_vertices, 3))
        _check_indices("faces", self.faces, (n_faces, 3), n_vertices)
        if (self.uv is None) != (self.uv_faces is None):
            raise MeshError("uv and uv_faces belong together: give both or none")
        if self.uv is not None and self.uv_faces is not None:
            _check_array("uv", self.uv, (len(self.uv), 2))
            _check_indices("uv_faces", self.uv_faces, (n_faces, 3), len(self.uv))
        if self.texture is not None:
            shape = self.texture.shape
            if self.uv is None:
                raise MeshError("a texture needs uv and uv_faces to lie on the mesh")
            if self.texture.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
                raise MeshError(f"texture must be uint8 (H, W, 3), got {self.texture.dtype} {shape}")
        for name in ("colors", "normals"):
            array = getattr(self, name)
            if array is not None:
                _check_array(name, array, (n_vertices, 3))
        if self.colors is not None and not (self.colors.min() >= 0 and self.colors.max() <= 1):
            raise MeshError(f"colors must lie in [0, 1], found {self.colors.min():.3g}..{self.colors.max():.3g}")
        for name, offsets_mm in self.morph_targets.items():
            _check_array(f"morph target {name!r}", offsets_mm, (n_vertices, 3))
        if not self.name or any(c in self.name for c in "\r\n"):
            raise MeshError(f"a mesh's name must be one line of text, got {self.name!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class SplitVertices:
    """A mesh's vertices with one copy for each texture coordinate they have, as graphics cards want them.

    Attributes:
        vertex: ``(N,)`` for each copy the vertex of the mesh.
        uv: ``(N,)`` for each copy the texture coordinate; None if the mesh has none.
        faces: ``(F, 3)`` indices of copies, in the mesh's order and winding.
    """

    vertex: Int[np.ndarray, " n"]
    uv: Int[np.ndarray, " n"] | None
    faces: Int[np.ndarray, "f 3"]


def split_at_seams(mesh: ExportMesh) -> SplitVertices:
    """One copy of each vertex per texture coordinate; vertices that no face uses are left out if there is a texture map."""
    if mesh.uv is None or mesh.uv_faces is None:
        return SplitVertices(np.arange(len(mesh.vertices_mm)), None, np.asarray(mesh.faces, dtype=np.int64))
    n_uv = len(mesh.uv)
    corners = mesh.faces.astype(np.int64) * n_uv + mesh.uv_faces.astype(np.int64)
    pairs, index = np.unique(corners, return_inverse=True)
    return SplitVertices(vertex=pairs // n_uv, uv=pairs % n_uv, faces=index.reshape(corners.shape))


def vertex_normals(mesh: ExportMesh) -> Float[np.ndarray, "v 3"]:
    """``(V, 3)`` unit normals: the mesh's own, or face normals averaged by area; +z where no face says anything."""
    if mesh.normals is not None:
        lengths = np.linalg.norm(mesh.normals, axis=1, keepdims=True)
        return np.where(lengths > 1e-12, mesh.normals / np.maximum(lengths, 1e-12), [0.0, 0.0, 1.0])
    normals = vertex_normals_of_arrays(mesh.vertices_mm, mesh.faces)
    return np.where((normals != 0.0).any(axis=1, keepdims=True), normals, [0.0, 0.0, 1.0])


def face_normals(mesh: ExportMesh) -> Float[np.ndarray, "f 3"]:
    """``(F, 3)`` outward unit normals; zero for faces without area."""
    a, b, c = (mesh.vertices_mm[mesh.faces[:, corner]].astype(np.float64) for corner in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(lengths > 1e-12, normals / np.maximum(lengths, 1e-12), 0.0)


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype.kind != "f":
        raise MeshError(f"{name} must be floating point {shape}, got {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise MeshError(f"{name} holds nan or inf")


def _check_indices(name: str, array: np.ndarray, shape: tuple[int, ...], below: int) -> None:
    if array.shape != shape or array.dtype.kind not in "iu":
        raise MeshError(f"{name} must be integers {shape}, got {array.dtype} {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= below):
        raise MeshError(f"{name} must hold indices in [0, {below}), found {array.min()}..{array.max()}")
