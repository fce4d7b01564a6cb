"""The Laplace-Beltrami operator of a triangle mesh."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bfm.data import FloatArray, IntArray


def surface_laplacian(vertices: FloatArray, faces: IntArray) -> tuple[sparse.csc_matrix, sparse.csc_matrix]:
    """Cotangent stiffness and lumped mass ``(V, V)`` of triangles ``(F, 3)``.

    Weights of slivers are held within bounds, so that the stiffness stays positive semi-definite in practice.
    """
    n_vertices = len(vertices)
    rows, columns, values = [], [], []
    corners = vertices[faces]
    area2 = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    for k in range(3):
        i, j, apex = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3], corners[:, k]
        dot = ((vertices[i] - apex) * (vertices[j] - apex)).sum(axis=1)
        weight = 0.5 * np.clip(dot / np.maximum(area2, 1e-9), -5.0, 20.0)
        rows += [i, j, i, j]
        columns += [j, i, i, j]
        values += [-weight, -weight, weight, weight]
    stiffness = sparse.csc_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n_vertices, n_vertices)
    )
    mass = np.bincount(faces.ravel(), weights=np.repeat(area2 / 6.0, 3), minlength=n_vertices)
    return stiffness, sparse.diags(np.maximum(mass, 1e-6)).tocsc()
