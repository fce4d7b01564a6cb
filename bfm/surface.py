"""Exact distance from points to a triangle mesh, through a bounding-volume tree."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numba
import numpy as np

from bfm.compiled import compiled
from bfm.data import FloatArray, IntArray

_LEAF_SIZE = 4
_PART = 256
"""Fewer query points than this are not worth a thread of their own."""


@dataclasses.dataclass(frozen=True)
class ClosestPoints:
    """For each query point its nearest point on the surface.

    Attributes:
        distance: ``(N,)``, in the unit of the vertices.
        points: ``(N, 3)``.
        triangles: ``(N,)`` indices into the faces.
        barycentrics: ``(N, 3)`` of the nearest point in its triangle.
    """

    distance: FloatArray
    points: FloatArray
    triangles: IntArray
    barycentrics: FloatArray


class SurfaceTree:
    """A tree of boxes around the triangles of one mesh, for many nearest-point queries.

    Args:
        vertices: ``(V, 3)``.
        faces: ``(F, 3)``.

    Raises:
        ValueError: no faces, or vertices that are not finite.
    """

    def __init__(self, vertices: FloatArray, faces: IntArray) -> None:
        if len(faces) == 0:
            raise ValueError("a mesh without faces has no surface to measure to")
        corners = np.ascontiguousarray(np.asarray(vertices, dtype=np.float64)[np.asarray(faces)])
        if not np.isfinite(corners).all():
            raise ValueError("the mesh has vertices that are nan or inf; remove them before measuring")
        self._corners = corners
        self._boxes, self._children, self._order = _build(corners)

    def query(self, points: FloatArray) -> ClosestPoints:
        """Nearest surface points of ``(N, 3)`` query points.

        Raises:
            ValueError: points of another shape, nan or inf.
        """
        wanted = np.ascontiguousarray(points, dtype=np.float64)
        if wanted.ndim != 2 or wanted.shape[1] != 3:
            raise ValueError(f"query points must be (N, 3), got {wanted.shape}")
        faulty = np.nonzero(~np.isfinite(wanted).all(axis=1))[0]
        if len(faulty):
            raise ValueError(f"query point {faulty[0]} is not finite: {wanted[faulty[0]]}")
        triangles, barycentrics, squared = self._in_parts(wanted)
        points_on = np.einsum("nk,nkc->nc", barycentrics, self._corners[triangles])
        return ClosestPoints(np.sqrt(squared), points_on, triangles, barycentrics)

    def _in_parts(self, points: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """The search on all processors. Threads of our own: numba's may neither be nested nor survive a fork."""
        tree = (self._corners, self._boxes, self._children, self._order)
        n_threads: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        n_parts = min(n_threads, 1 + len(points) // _PART)
        if n_parts == 1:
            return _query(points, *tree)
        with ThreadPoolExecutor(n_parts) as pool:
            found = list(pool.map(lambda part: _query(part, *tree), np.array_split(points, n_parts)))
        triangles, barycentrics, squared = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return triangles, barycentrics, squared


def closest_points(points: FloatArray, vertices: FloatArray, faces: IntArray) -> ClosestPoints:
    """Nearest points of ``(N, 3)`` queries on a mesh; for repeated queries keep a :class:`SurfaceTree`."""
    return SurfaceTree(vertices, faces).query(points)


@compiled()
@no_type_check
def _build(corners: FloatArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Boxes ``(N, 2, 3)``, children ``(N, 2)`` (leaf: -1 - first, count) and the triangle order of the leaves."""
    n_triangles = len(corners)
    centres, low, high = np.zeros((n_triangles, 3)), np.zeros((n_triangles, 3)), np.zeros((n_triangles, 3))
    for i in range(n_triangles):
        for k in range(3):
            a, b, c = corners[i, 0, k], corners[i, 1, k], corners[i, 2, k]
            centres[i, k], low[i, k], high[i, k] = (a + b + c) / 3.0, min(a, b, c), max(a, b, c)
    order = np.arange(n_triangles)
    boxes = np.zeros((2 * n_triangles, 2, 3))
    children = np.zeros((2 * n_triangles, 2), dtype=np.int64)
    pending = [(0, n_triangles, -1, 0)]
    n_nodes = 0
    while len(pending) > 0:
        first, last, parent, side = pending.pop()
        node = n_nodes
        n_nodes += 1
        if parent >= 0:
            children[parent, side] = node
        spread, axis = -1.0, 0
        for k in range(3):
            least, most = np.inf, -np.inf
            boxes[node, 0, k], boxes[node, 1, k] = np.inf, -np.inf
            for slot in range(first, last):
                i = order[slot]
                boxes[node, 0, k] = min(boxes[node, 0, k], low[i, k])
                boxes[node, 1, k] = max(boxes[node, 1, k], high[i, k])
                least, most = min(least, centres[i, k]), max(most, centres[i, k])
            if most - least > spread:
                spread, axis = most - least, k
        if last - first <= _LEAF_SIZE:
            children[node, 0], children[node, 1] = -1 - first, last - first
            continue
        members = order[first:last].copy()
        keys = np.zeros(last - first)
        for slot in range(last - first):
            keys[slot] = centres[members[slot], axis]
        order[first:last] = members[np.argsort(keys)]
        middle = first + (last - first) // 2
        pending.append((first, middle, node, 0))
        pending.append((middle, last, node, 1))
    return boxes[:n_nodes], children[:n_nodes], order


@compiled()
@no_type_check
def _box_distance(point: FloatArray, box: FloatArray) -> float:
    total = 0.0
    for k in range(3):
        gap = max(box[0, k] - point[k], point[k] - box[1, k], 0.0)
        total += gap * gap
    return total


@compiled()
@no_type_check
def _triangle_point(p: FloatArray, corners: FloatArray) -> tuple[float, float, float, float]:
    """Squared distance and barycentrics of the point of a triangle nearest to p, by the Voronoi region p lies in
    (Ericson, Real-Time Collision Detection, 2005, section 5.1.5)."""
    ab, ac, ap = np.zeros(3), np.zeros(3), np.zeros(3)
    for k in range(3):
        ab[k] = corners[1, k] - corners[0, k]
        ac[k] = corners[2, k] - corners[0, k]
        ap[k] = p[k] - corners[0, k]
    ab_ab, ab_ac, ac_ac = np.dot(ab, ab), np.dot(ab, ac), np.dot(ac, ac)
    d1, d2 = np.dot(ab, ap), np.dot(ac, ap)
    d3, d4 = d1 - ab_ab, d2 - ab_ac
    d5, d6 = d1 - ab_ac, d2 - ac_ac
    vc, vb, va = d1 * d4 - d3 * d2, d5 * d2 - d1 * d6, d3 * d6 - d5 * d4
    if d1 <= 0.0 and d2 <= 0.0:
        v, w = 0.0, 0.0
    elif d3 >= 0.0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif d6 >= 0.0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v, w = d1 / (d1 - d3) if d1 != d3 else 0.0, 0.0
    elif vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        v, w = 0.0, d2 / (d2 - d6) if d2 != d6 else 0.0
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        total = (d4 - d3) + (d5 - d6)
        w = (d4 - d3) / total if total != 0.0 else 0.0
        v = 1.0 - w
    else:
        total = va + vb + vc
        v, w = vb / total, vc / total
    squared = 0.0
    for k in range(3):
        gap = ap[k] - v * ab[k] - w * ac[k]
        squared += gap * gap
    return squared, 1.0 - v - w, v, w


@compiled()
@no_type_check
def _query(
    points: FloatArray, corners: FloatArray, boxes: FloatArray, children: IntArray, order: IntArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    n_points = len(points)
    triangles = np.zeros(n_points, dtype=np.int64)
    barycentrics = np.zeros((n_points, 3))
    squared = np.full(n_points, np.inf)
    for i in range(n_points):
        stack = np.zeros(128, dtype=np.int64)
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if _box_distance(points[i], boxes[node]) >= squared[i]:
                continue
            left, right = children[node, 0], children[node, 1]
            if left < 0:
                for slot in range(-1 - left, -1 - left + right):
                    found, u, v, w = _triangle_point(points[i], corners[order[slot]])
                    if found < squared[i]:
                        squared[i] = found
                        triangles[i] = order[slot]
                        barycentrics[i, 0], barycentrics[i, 1], barycentrics[i, 2] = u, v, w
                continue
            near_left = _box_distance(points[i], boxes[left]) <= _box_distance(points[i], boxes[right])
            stack[depth] = right if near_left else left
            stack[depth + 1] = left if near_left else right
            depth += 2
    return triangles, barycentrics, squared
