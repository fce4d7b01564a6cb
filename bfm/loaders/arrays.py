"""Steps that all loaders share: flattened vectors to vertices, raw bases to millimetres per sigma, outward faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.data import SurfacePoints
from bfm.files import ModelFileError


def as_points(path: Path, name: str, vector: npt.NDArray, n_vertices: int | None = None) -> npt.NDArray[np.float64]:
    """``(V, 3)`` from ``x1 y1 z1 x2 ...`` of any outer shape with one long axis.

    Raises:
        ModelFileError: not one vector of 3 V numbers, or not the expected V.
    """
    if vector.dtype.kind not in "fiu" or vector.size != max(vector.shape, default=0) or vector.size % 3:
        raise ModelFileError(path, f"{name!r} must be one vector of 3 V numbers, found {vector.dtype} {vector.shape}")
    points = vector.astype(np.float64).reshape(-1, 3)
    if n_vertices is not None and len(points) != n_vertices:
        raise ModelFileError(path, f"{name!r} must hold {n_vertices} vertices, found {len(points)}")
    return points


def as_basis(path: Path, name: str, matrix: npt.NDArray, n_vertices: int) -> npt.NDArray[np.float32]:
    """``(V, 3, K)`` from the ``(3 V, K)`` in which every public face model stores a basis.

    Raises:
        ModelFileError: another shape; a transposed matrix is named as such.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or matrix.shape[0] != 3 * n_vertices:
        hint = "; it seems transposed" if matrix.ndim == 2 and matrix.shape[1] == 3 * n_vertices else ""
        raise ModelFileError(
            path, f"{name!r} must have shape ({3 * n_vertices}, components), found {matrix.dtype} {matrix.shape}{hint}"
        )
    return np.ascontiguousarray(matrix, dtype=np.float32).reshape(n_vertices, 3, matrix.shape[1])


def as_sigma(path: Path, name: str, values: npt.NDArray, n_components: int) -> npt.NDArray[np.float64]:
    """``(K,)`` standard deviations, one for each component.

    Raises:
        ModelFileError: fewer or more than ``n_components`` values, or one that is not positive and finite.
    """
    if values.dtype.kind not in "fiu":
        raise ModelFileError(path, f"{name!r} must hold numbers, found {values.dtype}")
    sigma = values.astype(np.float64).reshape(-1)
    if len(sigma) != n_components:
        raise ModelFileError(path, f"{name!r} must hold {n_components} standard deviations, found {len(sigma)}")
    bad = ~(np.isfinite(sigma) & (sigma > 0))
    if bad.any():
        k = int(np.argmax(bad))
        raise ModelFileError(path, f"{name!r} must be positive, found {sigma[k]} for component {k}")
    return sigma


def as_indices(
    path: Path, name: str, values: npt.NDArray, count: int, base: int = 1, shape: tuple[int, ...] = (-1,)
) -> npt.NDArray[np.int64]:
    """Indices from 0 from a file that counts from ``base``, all below ``count``.

    Raises:
        ModelFileError: not whole numbers, out of range, or not of the shape; the range found is named.
    """
    if values.dtype.kind not in "fiu" or (values.dtype.kind == "f" and (values != np.round(values)).any()):
        raise ModelFileError(path, f"{name!r} must hold whole numbers, found {values.dtype}")
    # Compared before they become integers, which would wrap.
    if values.size and not (values.min() >= base and values.max() <= count - 1 + base):
        raise ModelFileError(
            path, f"{name!r} must lie in {base}..{count - 1 + base}, found {values.min():g}..{values.max():g}"
        )
    indices = values.astype(np.int64) - base
    width = int(np.prod([n for n in shape if n > 0]))
    if indices.size % width or (-1 not in shape and indices.size != width):
        raise ModelFileError(path, f"{name!r} must have shape {shape}, found {values.shape}")
    return indices.reshape(shape)


def as_faces(path: Path, name: str, values: npt.NDArray, n_vertices: int, base: int = 1) -> npt.NDArray[np.int64]:
    """``(F, 3)`` from a ``(F, 3)`` or MATLAB's ``(3, F)`` table that counts from ``base``.

    Raises:
        ModelFileError: neither shape, or indices out of range.
    """
    if values.ndim != 2 or 3 not in values.shape:
        raise ModelFileError(path, f"{name!r} must be (F, 3) or (3, F), found {values.shape}")
    table = values if values.shape[1] == 3 else values.T
    return as_indices(path, name, table, n_vertices, base, (-1, 3))


def outward(path: Path, vertices: npt.NDArray, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The faces wound counter-clockwise seen from outside, all flipped if they were not.

    A file does not say how it winds, and copies of one model differ. The volume between the surface and the centre of
    its vertices is positive for outward faces, for a whole head and for a front crop, whose centre lies behind it.

    Raises:
        ModelFileError: the volume is zero, so that outside cannot be told.
    """
    with np.errstate(all="ignore"):  # what overflows gives no volume, which is reported below
        corners = (vertices - vertices.mean(axis=0))[faces].astype(np.float64)
        volume = float(np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])))
    if volume == 0.0 or not np.isfinite(volume):
        raise ModelFileError(path, "the mean shape is flat, so its outside cannot be told")
    return faces if volume > 0 else np.ascontiguousarray(faces[:, ::-1])


def grey(n_vertices: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean albedo and empty albedo basis of a model that has no appearance."""
    return np.full((n_vertices, 3), 0.5, np.float32), np.zeros((n_vertices, 3, 0), np.float32)


def points_on_corners(
    path: Path, corners: npt.NDArray[np.int64], weights: npt.NDArray, faces: npt.NDArray[np.int64]
) -> SurfacePoints:
    """Points given by three vertices and weights each, ``(N, 3)``, as points on whichever faces hold those vertices.

    Raises:
        ModelFileError: the vertices of a point share no triangle.
    """
    triangles = np.zeros(len(corners), np.int64)
    barycentrics = np.zeros((len(corners), 3), np.float32)
    for n, (vertices, shares) in enumerate(zip(corners, weights, strict=True)):
        used = np.unique(vertices[shares != 0])
        holds_all = np.logical_and.reduce([(faces == v).any(axis=1) for v in used])
        if not holds_all.any():
            raise ModelFileError(path, f"landmark {n}: vertices {used.tolist()} share no triangle of the mesh")
        triangles[n] = np.argmax(holds_all)
        for vertex, share in zip(vertices, shares, strict=True):
            barycentrics[n] += float(share) * (faces[triangles[n]] == vertex)
    return SurfacePoints(triangles, barycentrics)
