"""A face model with fewer vertices: for pictures in which its triangles are far smaller than pixels.

Vertices are taken away one by one, each pulled onto a neighbour, where that changes the surface least (quadric error metric: Garland and
Heckbert 1997, "Surface simplification using quadric error metrics", with half-edge collapses, so that those left keep their places). What
is left is a subset of the model's own vertices: every basis, region and prior goes on as it is. Corners of landmarks stay, so that landmarks
lie exactly where they lay, and so do the rims of colours. The error is that of several heads with expressions at once: lids and lips keep what they need to move.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from bfm.compiled import compiled
from bfm.data import BoolArray, FloatArray, IntArray, ModelData
from bfm.model import MorphableModel

_HEADS, _SEED = 5, 0
_A_ROUND = 0.35
"""Share of the vertices that may go which go before all errors are computed anew."""
_CONTRAST = 0.1
"""Of albedo along an edge whose ends stay."""
_LEAST_COSINE = 0.5
"""Triangles may turn by up to 60 degrees when a corner is pulled away."""
_EDGE_WEIGHT = 1e-4
"""Of the squared length of the way: where a surface is flat, short ways are taken."""


def coarse_model(model: MorphableModel, share: float = 0.3) -> MorphableModel:
    """The same model with fewer vertices, without texture coordinates. The same input gives the same model.

    Args:
        model: with any landmark sets.
        share: of the vertices to keep, (0, 1]. More stay where landmarks, borders or the shape need them.

    Raises:
        ValueError: a share out of range.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"the share of vertices to keep must lie in (0, 1], got {share}")
    data = model.data()
    faces, face_numbers = _decimated(
        _heads(data), np.asarray(data.faces, dtype=np.int64), _needed(data), _labels(data), share
    )
    return MorphableModel(data.on_faces(faces, face_numbers)).to(model.mean_shape.device)


def _heads(data: ModelData) -> FloatArray:
    """``(K, V, 3)`` the mean and some heads with expressions, mm."""
    rng = np.random.default_rng(_SEED)
    heads = [np.asarray(data.mean_shape, dtype=np.float64)]
    for _ in range(_HEADS - 1):
        identity = rng.standard_normal(data.identity_basis.shape[-1])
        unit = data.expression_prior == "unit"
        n_expression = data.expression_basis.shape[-1]
        expression = rng.uniform(0.0, 0.6, n_expression) if unit else rng.standard_normal(n_expression)
        heads.append(data.mean_shape + data.identity_basis @ identity + data.expression_basis @ expression)
    return np.stack(heads)


def _needed(data: ModelData) -> BoolArray:
    """``(V,)`` corners of landmarks, and both ends of edges over which the colour changes: rims of irises, lips, teeth, brows."""
    needed = np.zeros(len(data.mean_shape), dtype=np.bool_)
    for side in range(3):
        ends = data.faces[:, [side, (side + 1) % 3]]
        colour = data.mean_albedo[ends]
        needed[ends[np.abs(colour[:, 0] - colour[:, 1]).max(axis=1) > _CONTRAST]] = True
    for points in data.landmarks.values():
        needed[data.faces[points.triangles]] = True
    return needed


def _labels(data: ModelData) -> IntArray:
    """``(V,)`` equal numbers are in the same regions."""
    if not data.regions:
        return np.zeros(len(data.mean_shape), dtype=np.int64)
    masks = np.stack([np.asarray(mask, dtype=np.bool_) for mask in data.regions.values()], axis=1)
    return np.unique(masks, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _decimated(
    heads: FloatArray, faces: IntArray, needed: BoolArray, labels: IntArray, share: float
) -> tuple[IntArray, IntArray]:
    """The faces that are left, in numbers of the given vertices, and which of the given faces they were."""
    numbers = np.arange(len(faces), dtype=np.int64)
    quadrics = _quadrics(heads, faces)
    wanted = int(np.ceil(share * len(np.unique(faces))))
    while True:
        excess = len(np.unique(faces)) - wanted
        if excess <= 0:
            return faces, numbers
        starts, around = _faces_of_vertices(faces, heads.shape[1])
        target, cost = _best_collapses(heads, faces, starts, around, quadrics, needed, labels)
        possible = np.nonzero(target >= 0)[0]
        if not len(possible):
            return faces, numbers
        order = possible[np.argsort(cost[possible], kind="stable")]
        most = min(excess, max(1, int(_A_ROUND * len(order))))
        gone = _independent(order[:most], faces, starts, around)
        quadrics[:, target[gone]] += quadrics[:, gone]  # targets differ: no two rings touch
        moved = np.arange(heads.shape[1])
        moved[gone] = target[gone]
        faces = moved[faces]
        kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
        faces, numbers = faces[kept], numbers[kept]


def _quadrics(heads: FloatArray, faces: IntArray) -> FloatArray:
    """``(K, V, 4, 4)`` squared distances to the planes of the faces around each vertex, weighted with their areas."""
    a, b, c = (heads[:, faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    double_area = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(double_area, 1e-12)
    plane = np.concatenate((normal, -(normal * a).sum(axis=-1, keepdims=True)), axis=-1)
    of_faces = double_area[..., None] * plane[..., :, None] * plane[..., None, :]
    total = np.zeros((heads.shape[1], len(heads), 4, 4))
    for k in range(3):
        np.add.at(total, faces[:, k], of_faces.swapaxes(0, 1))
    return np.ascontiguousarray(total.swapaxes(0, 1))


def _faces_of_vertices(faces: IntArray, n_vertices: int) -> tuple[IntArray, IntArray]:
    """Faces around each vertex: those of vertex v are ``around[starts[v]:starts[v + 1]]``."""
    flat = faces.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(flat, minlength=n_vertices))))
    return starts.astype(np.int64), (order // 3).astype(np.int64)


@compiled(inline="always")
@no_type_check
def _normal(head, a, b, c):
    """Twice the area of a triangle along its normal."""
    ux, uy, uz = head[b, 0] - head[a, 0], head[b, 1] - head[a, 1], head[b, 2] - head[a, 2]
    vx, vy, vz = head[c, 0] - head[a, 0], head[c, 1] - head[a, 1], head[c, 2] - head[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@compiled(inline="always")
@no_type_check
def _keeps_its_sides(heads, faces, starts, around, v, u):
    """Whether no face around v turns far when v is pulled onto u."""
    for slot in range(starts[v], starts[v + 1]):
        f = around[slot]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if u in (a, b, c):
            continue
        p, q, r = u if a == v else a, u if b == v else b, u if c == v else c
        for h in range(heads.shape[0]):
            x, y, z = _normal(heads[h], a, b, c)
            nx, ny, nz = _normal(heads[h], p, q, r)
            lengths = np.sqrt((x * x + y * y + z * z) * (nx * nx + ny * ny + nz * nz))
            if x * nx + y * ny + z * nz <= _LEAST_COSINE * lengths:
                return False
    return True


@compiled()
@no_type_check
def _best_collapses(heads, faces, starts, around, quadrics, needed, labels):
    """Of each vertex the neighbour that it is best pulled onto, -1 where there is none, and what that costs."""
    n_heads, n_vertices = heads.shape[0], heads.shape[1]
    target, best = np.full(n_vertices, -1, dtype=np.int64), np.full(n_vertices, np.inf)
    times = np.zeros(n_vertices, dtype=np.int64)  # how many faces of v a neighbour is in
    seen = np.zeros(n_vertices, dtype=np.int64)
    for v in range(n_vertices):
        if needed[v] or starts[v] == starts[v + 1]:
            continue
        for slot in range(starts[v], starts[v + 1]):
            for k in range(3):
                times[faces[around[slot], k]] += 1
        closed = True
        for slot in range(starts[v], starts[v + 1]):
            for k in range(3):
                u = faces[around[slot], k]
                if u != v and times[u] != 2:
                    closed = False  # a border, or no manifold
        if closed:
            for slot in range(starts[v], starts[v + 1]):
                for k in range(3):
                    u = faces[around[slot], k]
                    # Each neighbour is in two faces; which of the two asks does not matter.
                    if u == v or labels[u] != labels[v]:
                        continue
                    shared = 0
                    for other in range(starts[u], starts[u + 1]):
                        for j in range(3):
                            w = faces[around[other], j]
                            if w not in (u, v) and times[w] > 0 and seen[w] != u + 1:
                                seen[w] = u + 1
                                shared += 1
                    for other in range(starts[u], starts[u + 1]):
                        for j in range(3):
                            seen[faces[around[other], j]] = 0
                    if shared != 2:
                        continue
                    cost = 0.0
                    for h in range(n_heads):
                        way = 0.0
                        for i in range(3):
                            way += (heads[h, u, i] - heads[h, v, i]) ** 2
                        cost += _EDGE_WEIGHT * way * way
                        for i in range(4):
                            x = heads[h, u, i] if i < 3 else 1.0
                            for j in range(4):
                                y = heads[h, u, j] if j < 3 else 1.0
                                cost += x * y * (quadrics[h, v, i, j] + quadrics[h, u, i, j])
                    if cost < best[v] and _keeps_its_sides(heads, faces, starts, around, v, u):
                        best[v], target[v] = cost, u
        for slot in range(starts[v], starts[v + 1]):
            for k in range(3):
                times[faces[around[slot], k]] = 0
    return target, best


@compiled()
@no_type_check
def _independent(order, faces, starts, around):
    """Of vertices in order those around which no earlier one was taken: the surroundings of one do not change those of another."""
    touched = np.zeros(len(starts) - 1, dtype=np.bool_)
    taken = np.zeros(len(order), dtype=np.bool_)
    for number in range(len(order)):
        v = order[number]
        free = True
        for slot in range(starts[v], starts[v + 1]):
            for k in range(3):
                if touched[faces[around[slot], k]]:
                    free = False
        if free:
            taken[number] = True
            for slot in range(starts[v], starts[v + 1]):
                for k in range(3):
                    touched[faces[around[slot], k]] = True
    return order[taken]
