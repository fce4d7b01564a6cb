"""Quad meshes: Catmull-Clark subdivision as a sparse matrix, edge loops, triangulation.

MakeHuman's mesh is made of quads in edge loops. Catmull and Clark's rule (1978) keeps that flow; Loop's rule
(1987) first has to cut every quad along one diagonal, which breaks the left-right symmetry and leaves a
zig-zag in the shading. Both give the same number of vertices (4 times) and both are linear.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bfm.data import BoolArray, FloatArray, IntArray


def edges_of(quads: IntArray) -> tuple[IntArray, IntArray]:
    """Unique edges ``(E, 2)`` (smaller index first) and, for each face side, its edge ``(F, 4)``."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, inverse = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    return edges, inverse.reshape(quads.shape)


def catmull_clark(quads: IntArray, n_vertices: int) -> tuple[sparse.csr_matrix, IntArray]:
    """One step of Catmull-Clark subdivision.

    New vertices come in the order: old vertices, edges, faces. Borders follow the cubic B-spline rule.

    Returns:
        The matrix ``(V + E + F, V)`` whose rows sum to 1, and the new quads ``(4F, 4)``; child ``4i + k`` of
        face ``i`` has corner ``k`` of its parent as its first corner, so windings are kept.
    """
    n_faces = len(quads)
    edges, face_edges = edges_of(quads)
    n_edges = len(edges)
    faces_on_edge = np.bincount(face_edges.ravel(), minlength=n_edges)
    if faces_on_edge.max(initial=0) > 2:
        raise ValueError("an edge with more than two faces: the mesh is not a surface")
    border = faces_on_edge == 1
    face_rows = _matrix(np.repeat(np.arange(n_faces), 4), quads.ravel(), 0.25, (n_faces, n_vertices))
    ends = _matrix(np.repeat(np.arange(n_edges), 2), edges.ravel(), 0.5, (n_edges, n_vertices))
    edge_faces = _matrix(face_edges.ravel(), np.repeat(np.arange(n_faces), 4), 1.0, (n_edges, n_faces))
    inner_edge = sparse.diags(np.where(border, 0.0, 0.5))
    edge_rows = sparse.diags(np.where(border, 1.0, 0.5)) @ ends + inner_edge @ (0.5 * edge_faces @ face_rows)

    valence = np.bincount(edges.ravel(), minlength=n_vertices).astype(float)
    vertex_faces = _matrix(quads.ravel(), np.repeat(np.arange(n_faces), 4), 1.0, (n_vertices, n_faces))
    vertex_edges = _matrix(edges.ravel(), np.repeat(np.arange(n_edges), 2), 1.0, (n_vertices, n_edges))
    on_border = np.zeros(n_vertices, dtype=bool)
    on_border[edges[border].ravel()] = True
    n = np.where(valence > 0, valence, 1.0)
    inner = (
        sparse.diags(1.0 / n**2) @ vertex_faces @ face_rows
        + sparse.diags(2.0 / n**2) @ vertex_edges @ ends
        + sparse.diags((n - 3.0) / n)
    )
    border_edges = vertex_edges @ sparse.diags(border.astype(float))
    outer = 0.25 * border_edges @ ends + 0.5 * sparse.identity(n_vertices)
    vertex_rows = sparse.diags((~on_border).astype(float)) @ inner + sparse.diags(on_border.astype(float)) @ outer
    unused = valence == 0
    if unused.any():
        vertex_rows = sparse.diags((~unused).astype(float)) @ vertex_rows + sparse.diags(unused.astype(float))

    side_points = n_vertices + face_edges
    centres = n_vertices + n_edges + np.arange(n_faces)
    children = np.stack(
        [quads, side_points, np.broadcast_to(centres[:, None], quads.shape), np.roll(side_points, 1, axis=1)], axis=-1
    )
    return sparse.vstack([vertex_rows, edge_rows, face_rows]).tocsr(), children.reshape(-1, 4)


def split_linear(quads: IntArray, n_vertices: int) -> tuple[sparse.csr_matrix, IntArray]:
    """As :func:`catmull_clark` without smoothing: edge midpoints and face centres. For texture coordinates."""
    n_faces = len(quads)
    edges, face_edges = edges_of(quads)
    rows = sparse.vstack(
        [
            sparse.identity(n_vertices),
            _matrix(np.repeat(np.arange(len(edges)), 2), edges.ravel(), 0.5, (len(edges), n_vertices)),
            _matrix(np.repeat(np.arange(n_faces), 4), quads.ravel(), 0.25, (n_faces, n_vertices)),
        ]
    )
    side_points = n_vertices + face_edges
    centres = np.broadcast_to((n_vertices + len(edges) + np.arange(n_faces))[:, None], quads.shape)
    children = np.stack([quads, side_points, centres, np.roll(side_points, 1, axis=1)], axis=-1)
    return rows.tocsr(), children.reshape(-1, 4)


def triangulate(quads: IntArray, vertices: FloatArray, cut_ac: BoolArray | None = None) -> tuple[IntArray, BoolArray]:
    """Triangles ``(2F, 3)``; triangles 2i and 2i + 1 come from quad i.

    Each quad is cut along its shorter diagonal, or as ``cut_ac`` ``(F,)`` says, which is also returned so that a second
    set of corners (texture coordinates) can be cut alike.
    """
    if cut_ac is None:
        a, b, c, d = (vertices[quads[:, k]] for k in range(4))
        # The margin keeps mirror-image quads, equal up to rounding, on the same kind of diagonal.
        cut_ac = np.linalg.norm(c - a, axis=1) <= np.linalg.norm(d - b, axis=1) * (1.0 + 1e-6)
    first = np.where(cut_ac[:, None], quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    second = np.where(cut_ac[:, None], quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.stack([first, second], axis=1).reshape(-1, 3), cut_ac


def edge_loop(quads: IntArray, start: tuple[int, int]) -> IntArray:
    """The closed edge loop through an edge: straight on at every vertex with four edges.

    Raises:
        ValueError: the loop meets a pole or a border before it closes.
    """
    neighbours: dict[int, set[int]] = {}
    side_faces: dict[tuple[int, int], set[int]] = {}
    for index, quad in enumerate(quads.tolist()):
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
            side_faces.setdefault((min(a, b), max(a, b)), set()).add(index)
    path = list(start)
    while True:
        before, here = path[-2:]
        behind = side_faces.get((min(before, here), max(before, here)), set())
        ahead = [there for there in neighbours[here] if not side_faces[(min(here, there), max(here, there))] & behind]
        if len(neighbours[here]) != 4 or len(ahead) != 1:
            raise ValueError(f"the edge loop through {start} does not close: it ends at vertex {here}")
        if ahead[0] == path[0]:
            return np.asarray(path)
        path.append(ahead[0])


def side_of_loop(quads: IntArray, loop: IntArray, inside: int) -> IntArray:
    """Indices of the quads on the side of a closed loop that holds the vertex ``inside``."""
    blocked = np.zeros(int(quads.max()) + 1, dtype=bool)
    blocked[loop] = True
    edges, _ = edges_of(quads)
    free = edges[~blocked[edges].any(axis=1)]
    graph = _matrix(free[:, 0], free[:, 1], 1.0, (len(blocked), len(blocked)))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    return np.nonzero((component[quads] == component[inside]).any(axis=1))[0]


def _matrix(rows: IntArray, columns: IntArray, value: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.full(len(rows), value), (rows, columns)), shape=shape)
