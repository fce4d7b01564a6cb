"""Rows of teeth: rigid, one with the skull and one with the jaw, with gums towards their roots."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bfm.data import BoolArray, FloatArray
from bfm.open.head_mesh import PARTS

ROWS = ("upper_teeth", "lower_teeth")
_CROWN_MM = 12.0
"""Distance of the gum from the biting edge towards the lips. Crowns of incisors are 9 to 10.5 mm high (Nelson, Wheeler's
Dental Anatomy, 2014); the mesh has vertices at 10 and at 14.6 mm, and the gum fades in between these."""
_LINGUAL_CROWN_MM = 5.0
"""The same towards the tongue, from the middle of the biting edge."""
_GUM_EDGE_MM = 0.7
"""Width of the border between tooth and gum."""
_EDGE_MM = 1.5
"""Farther inside than this from the biting edge a tooth faces the tongue."""
_LINGUAL_SHADE = 0.65
"""How much darker the side towards the tongue is: little light gets there, and light given by its direction casts no
shadows."""
_SECTIONS = 24


def rigid_rows(expression: FloatArray, mean: FloatArray, part: NDArray[np.integer]) -> FloatArray:
    """Expressions ``(N, 3, K)`` in mm whose rows of teeth do not bend: the upper one rests, the lower one moves with the jaw.

    A linear shape can only move along the tangent of a rotation: each lower row gets the translation and the
    infinitesimal rotation that lie nearest to what it did before.

    Args:
        expression: mm a unit.
        mean: ``(N, 3)`` mm.
        part: ``(N,)`` index into PARTS.
    """
    moved = expression.copy()
    moved[part == PARTS.index("upper_teeth")] = 0.0
    lower = part == PARTS.index("lower_teeth")
    points = mean[lower]
    x, y, z = points.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    # Columns: translation along and infinitesimal rotation about each axis; w x p for the latter.
    design = np.stack(
        [
            np.stack([one, zero, zero, zero, z, -y], axis=1),
            np.stack([zero, one, zero, -z, zero, x], axis=1),
            np.stack([zero, zero, one, y, -x, zero], axis=1),
        ],
        axis=1,
    ).reshape(3 * len(points), 6)
    flat = expression[lower].reshape(3 * len(points), -1)
    motion, *_ = np.linalg.lstsq(design, flat, rcond=None)
    moved[lower] = (design @ motion).reshape(len(points), 3, -1)
    return np.asarray(moved)


def gums(vertices: FloatArray, part: FloatArray) -> FloatArray:
    """How much of each vertex ``(V,)`` is gum in place of tooth: what lies farther from the biting edge than a crown is high.

    Args:
        vertices: ``(V, 3)`` mm.
        part: ``(V, 6)`` share of each part.
    """
    found = np.zeros(len(vertices))
    for row, below_mm, inside_mm in _rows(vertices, part):
        crown_mm = np.where(inside_mm > _EDGE_MM, _LINGUAL_CROWN_MM, _CROWN_MM)
        distance_mm = np.hypot(below_mm, inside_mm)
        found[row] = 1.0 / (1.0 + np.exp(-(distance_mm - crown_mm) / _GUM_EDGE_MM))
    return found


def lingual_shade(vertices: FloatArray, part: FloatArray) -> FloatArray:
    """How much darker each vertex ``(V,)`` of the rows is for facing the tongue, in [0, 1]."""
    found = np.zeros(len(vertices))
    for row, _, inside_mm in _rows(vertices, part):
        found[row] = np.where(inside_mm > _EDGE_MM, _LINGUAL_SHADE, 0.0)
    return found


def _rows(vertices: FloatArray, part: FloatArray) -> Iterator[tuple[BoolArray, FloatArray, FloatArray]]:
    """Of each row its vertices ``(V,)``, and how far each lies from the biting edge beside it: towards the roots, and
    towards the tongue, mm."""
    for name, crowns in zip(ROWS, (-1.0, 1.0), strict=True):  # upper crowns point down
        row = part[:, PARTS.index(name)] > 0.5
        if not row.any():
            continue
        points = vertices[row]
        section = _sections(points)
        height = crowns * points[:, 1]
        outwards = np.hypot(points[:, 0], np.maximum(points[:, 2] - _centre(points), 0.0))
        below, inside = np.zeros(len(points)), np.zeros(len(points))
        for k in np.unique(section):
            here = np.flatnonzero(section == k)
            edge = here[height[here].argmax()]
            below[here], inside[here] = height[edge] - height[here], outwards[edge] - outwards[here]
        yield row, below, inside


def _centre(points: FloatArray) -> float:
    """z of the point that the arch bends around: as far behind the front as it is wide to one side."""
    return float(points[:, 2].max() - np.abs(points[:, 0]).max())


def _sections(points: FloatArray) -> NDArray[np.integer]:
    """Number of the section of the arch that each point ``(N, 3)`` lies in, from one end to the other by its length."""
    centre = _centre(points)
    behind = np.minimum(points[:, 2] - centre, 0.0)
    angle = np.arctan2(points[:, 0], np.maximum(points[:, 2] - centre, 1e-6))
    # Behind the centre the arch is straight: its length counts on.
    along = angle * np.abs(points[:, 0]).max() - np.sign(points[:, 0]) * behind
    low, high = along.min(), along.max()
    return np.clip(((along - low) / max(high - low, 1e-9) * _SECTIONS).astype(int), 0, _SECTIONS - 1)
