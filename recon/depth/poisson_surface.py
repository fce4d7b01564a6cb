"""A closed surface through oriented points: screened Poisson reconstruction (Kazhdan and Hoppe 2013) on a regular grid.

A function on the grid is sought whose gradient is the points' normals, spread over the cells about them, and that is zero at the
points; the surface is where it is zero. It is solved on grids that get finer, each starting from the one before.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.ndimage import zoom
from scipy.sparse.linalg import cg
from skimage.measure import marching_cubes

_MARGIN_CELLS = 3
_COARSER = (4, 2, 1)
_TOLERANCE = 1e-3
_MAX_CELLS = 4_000_000
_CORNERS = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)


class SurfaceError(ValueError):
    """Points through which no surface can be laid."""


@dataclasses.dataclass(frozen=True, eq=False)
class OrientedPoints:
    """N samples of a surface.

    Attributes:
        places_mm: ``(N, 3)``.
        normals: ``(N, 3)`` unit vectors outwards.
        areas_mm2: ``(N,)`` of the piece of surface that each stands for.
    """

    places_mm: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    areas_mm2: Float[np.ndarray, " n"]


def screened_poisson(
    points: OrientedPoints, cell_mm: float, screening: float = 4.0
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices in mm and triangles, counter-clockwise seen from outside. Beyond the points the surface goes on as it will.

    Args:
        points: at least as dense as the cells.
        cell_mm: side of a cell.
        screening: how much being zero at the points counts beside having their normals.

    Raises:
        SurfaceError: fewer than 100 points, values that are not finite, a cell that is none, more than four million cells, or
            normals that contradict each other so that no surface is found.
    """
    places = np.asarray(points.places_mm, dtype=np.float64)
    if len(places) < 100 or not (np.isfinite(places).all() and np.isfinite(points.normals).all()):
        raise SurfaceError(f"a surface needs at least 100 finite points with normals, got {len(places)}")
    if not 0.0 < cell_mm < np.inf:
        raise SurfaceError(f"a cell's side must be positive, got {cell_mm} mm")
    low = places.min(axis=0) - _MARGIN_CELLS * max(_COARSER) * cell_mm
    extent = places.max(axis=0) + _MARGIN_CELLS * max(_COARSER) * cell_mm - low
    coarse = np.ceil(extent / (max(_COARSER) * cell_mm)).astype(int) + 1
    if float(np.prod(coarse * float(max(_COARSER)))) > _MAX_CELLS:
        raise SurfaceError(
            f"points over {extent.round().tolist()} mm take more than {_MAX_CELLS} cells of {cell_mm:g} mm: enlarge the cells"
        )
    values: np.ndarray | None = None
    for factor in _COARSER:
        shape = tuple(int(n) for n in (coarse - 1) * max(_COARSER) // factor + 1)
        start = np.zeros(shape) if values is None else zoom(values, np.array(shape) / values.shape, order=1)
        values = _solved(points, places, low, factor * cell_mm, shape, screening, start)
    assert values is not None
    if not values.min() < 0.0 < values.max():
        raise SurfaceError("the points' normals contradict each other: no surface has them")
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(cell_mm,) * 3, gradient_direction="descent")
    return vertices + low, faces.astype(np.int64)


def _solved(
    points: OrientedPoints,
    places: np.ndarray,
    low: np.ndarray,
    cell_mm: float,
    shape: tuple[int, ...],
    screening: float,
    start: np.ndarray,
) -> np.ndarray:
    """The function at the nodes of one grid, negative inside."""
    reading = _reading(places, low, cell_mm, shape)
    gradients = [_difference(shape, axis) / cell_mm for axis in range(3)]
    # A node's share of the surface over its cell, in 1 / mm.
    areas = np.asarray(points.areas_mm2, dtype=np.float64)
    spread = reading.T @ (areas[:, None] * points.normals) / cell_mm**3
    system = sum(g.T @ g for g in gradients)
    wanted = sum(g.T @ _between(spread[:, axis], shape, axis) for axis, g in enumerate(gradients))
    weights = screening * areas / cell_mm**4
    system = (system + reading.T @ sparse.diags(weights) @ reading).tocsr()
    inverse = 1.0 / system.diagonal()
    precondition = sparse.diags(inverse)
    found, _ = cg(system, wanted, x0=start.ravel(), rtol=_TOLERANCE, maxiter=300, M=precondition)
    return np.asarray(found).reshape(shape)


def _reading(places: np.ndarray, low: np.ndarray, cell_mm: float, shape: tuple[int, ...]) -> sparse.csr_matrix:
    """(N, nodes): trilinear values at places from those at nodes."""
    at = (places - low) / cell_mm
    first = np.floor(at).astype(np.int64)
    part = at - first
    rows, columns, weights = [], [], []
    for corner in _CORNERS:
        weights.append(np.where(corner, part, 1.0 - part).prod(axis=1))
        columns.append(np.ravel_multi_index(tuple((first + corner).T), shape))
        rows.append(np.arange(len(places)))
    size = (len(places), int(np.prod(shape)))
    return sparse.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=size)


def _difference(shape: tuple[int, ...], axis: int) -> sparse.csr_matrix:
    """Next less this node along an axis."""
    parts = [sparse.identity(n) for n in shape]
    n = shape[axis]
    parts[axis] = sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n))
    return sparse.kron(sparse.kron(parts[0], parts[1]), parts[2]).tocsr()


def _between(values: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Means of neighbouring nodes along an axis."""
    grid = np.moveaxis(values.reshape(shape), axis, 0)
    return np.moveaxis(0.5 * (grid[1:] + grid[:-1]), 0, axis).ravel()
