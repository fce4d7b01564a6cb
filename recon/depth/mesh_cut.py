"""Cutting a triangle mesh along the line where a function of its vertices is zero."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_SNAP = 0.02
"""A cut so near to the end of an edge, as a share of it, is made at the end: no slivers."""


def cut_where_negative(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, " v"]
) -> tuple[Float[np.ndarray, "v2 3"], Int[np.ndarray, "f2 3"]]:
    """The part of a mesh where a function is positive; triangles across the zero line are divided there. Unused vertices go.

    Args:
        vertices: ``(V, 3)``.
        faces: ``(F, 3)``, whose winding is kept.
        values: ``(V,)`` of the function, linear between vertices.

    Returns:
        Vertices and triangles, none if nothing is positive.
    """
    inside = values > 0.0
    count = inside[faces].sum(axis=1)
    kept = [faces[count == 3]]
    crossed = faces[(count == 1) | (count == 2)]
    # Turn each triangle until the vertex that is alone on its side comes first.
    alone = inside[crossed] == (inside[crossed].sum(axis=1) == 1)[:, None]
    first = alone.argmax(axis=1)
    a, b, c = (np.take_along_axis(crossed, ((first + k) % 3)[:, None], axis=1)[:, 0] for k in range(3))
    ends = np.sort(np.concatenate((np.stack((a, b), axis=1), np.stack((a, c), axis=1))), axis=1)
    edges, number = np.unique(ends, axis=0, return_inverse=True)
    low, high = values[edges[:, 0]], values[edges[:, 1]]
    share = np.clip(low / (low - high), _SNAP, 1.0 - _SNAP)[:, None] if len(edges) else np.zeros((0, 1))
    added = vertices[edges[:, 0]] * (1.0 - share) + vertices[edges[:, 1]] * share
    number = number.reshape(-1) + len(vertices)
    on_b, on_c = number[: len(a)], number[len(a) :]
    tip = inside[a]
    kept.append(np.stack((a, on_b, on_c), axis=1)[tip])
    kept.append(np.stack((on_b, b, c), axis=1)[~tip])
    kept.append(np.stack((on_b, c, on_c), axis=1)[~tip])
    joined = np.concatenate(kept)
    used, inverse = np.unique(joined, return_inverse=True)
    return np.concatenate((vertices, added))[used], inverse.reshape(joined.shape)
