"""A small closed mesh with a texture seam."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.export import ExportMesh

COLUMNS, ROWS = 8, 5


@pytest.fixture
def mesh() -> ExportMesh:
    """An ellipsoid 140 x 200 x 180 mm, off-centre, of columns and rings: the first and last column share vertices."""
    angles = 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    heights = np.pi * (np.arange(1, ROWS) / ROWS - 0.5)
    ring = [[np.sin(a) * np.cos(h), np.sin(h), -np.cos(a) * np.cos(h)] for h in heights for a in angles]
    unit = np.array([*ring, [0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    vertices = unit * [70.0, 100.0, 90.0] + [5.0, -3.0, 11.0]
    south, north = len(unit) - 2, len(unit) - 1
    faces, uv_faces = [], []
    for column in range(COLUMNS):
        after = (column + 1) % COLUMNS
        for row in range(ROWS - 2):
            low, high = row * COLUMNS, (row + 1) * COLUMNS
            uv_low, uv_high = row * (COLUMNS + 1), (row + 1) * (COLUMNS + 1)
            # Seen from outside, growing columns run to the left, because the first looks along -z.
            faces += [(low + column, high + column, low + after), (low + after, high + column, high + after)]
            uv_faces += [
                (uv_low + column, uv_high + column, uv_low + column + 1),
                (uv_low + column + 1, uv_high + column, uv_high + column + 1),
            ]
        top, uv_top = (ROWS - 2) * COLUMNS, (ROWS - 2) * (COLUMNS + 1)
        n_uv = (ROWS - 1) * (COLUMNS + 1)
        faces += [(south, column, after), (top + column, north, top + after)]
        uv_faces += [(n_uv, column, column + 1), (uv_top + column, n_uv + 1, uv_top + column + 1)]
    uv = [[c / COLUMNS, r / ROWS] for r in range(1, ROWS) for c in range(COLUMNS + 1)] + [[0.5, 0.0], [0.5, 1.0]]
    everywhere = np.random.default_rng(3).normal(size=vertices.shape)
    one_vertex = np.zeros_like(vertices)
    one_vertex[3] = [1.0, -2.0, 4.0]
    texture = np.random.default_rng(4).integers(0, 256, size=(40, 64, 3), dtype=np.uint8)
    return ExportMesh(
        vertices_mm=vertices,
        faces=np.array(faces),
        uv=np.array(uv),
        uv_faces=np.array(uv_faces),
        texture=texture,
        colors=(unit * 0.5 + 0.5),
        morph_targets={"jawOpen": everywhere, "eyeBlinkLeft": one_vertex, "cheekPuff": np.zeros_like(vertices)},
        name="Zoë's head",
    )


@pytest.fixture
def bare(mesh: ExportMesh) -> ExportMesh:
    """The same without texture, coordinates and morph targets."""
    return dataclasses.replace(mesh, uv=None, uv_faces=None, texture=None, morph_targets={})
