"""Landmarks of the open model: MediaPipe's 478 points from a shipped table, the 68, and the jaw.

The table holds, for each of the 478 points, a quad of the unsubdivided head and a place in it, so that it serves every
subdivision level. ``recon.landmark_transfer`` made it: the mean head is rendered from many views, the detector marks the
pictures, each mark is cast back onto the surface, and the consensus is mirrored onto itself; the front of the face is then
moved to where the detector marks many synthetic people.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from bfm.data import BoolArray, FloatArray, IntArray, SurfacePoints
from bfm.mediapipe_table import MEDIAPIPE_68, N_POINTS
from bfm.surface import closest_points

TABLE = "landmarks478.npz"

_JAW_MM = np.array(
    [
        (72.0, -8.0, -74.0),
        (70.0, -28.0, -71.0),
        (66.0, -46.0, -70.0),
        (61.0, -62.0, -66.0),
        (56.0, -79.0, -58.0),
        (46.0, -91.0, -42.0),
        (35.0, -98.0, -23.0),
        (21.0, -106.0, -7.0),
        (0.0, -110.0, 0.0),
    ]
)
"""Where 300W-LP's 3D annotation puts the jaw points 16 down to 8 of a frontal neutral face whose eyes are 62 mm apart,
from the midpoint between the eyes (read from its published labels). They follow the edge of the mandible, not the
outline that a picture shows. Points 0 to 7 mirror them."""
_JAW_CHIN_Y_MM = -110.0


def landmark_sets(
    vertices: FloatArray,
    faces: IntArray,
    cut_ac: BoolArray,
    levels: int,
    outer: BoolArray,
    table: tuple[IntArray, FloatArray] | None = None,
) -> dict[str, SurfacePoints]:
    """The sets ``"478"`` (MediaPipe), ``"68"`` (Multi-PIE order) and ``"51"`` (the 68 without the jaw).

    Args:
        vertices: ``(V, 3)`` mean head in mm, origin between the eyes.
        faces: ``(F, 3)``, two from each fine quad.
        cut_ac: ``(F / 2,)`` along which diagonal each fine quad was cut.
        levels: subdivision steps between the head and the fine quads.
        outer: ``(V,)`` the outside of the head, where jaw points may lie.
        table: quads and places, see the module; by default those of the package.
    """
    quads, places = table if table is not None else _packaged_table()
    if quads.shape != (N_POINTS,) or places.shape != (N_POINTS, 2):
        raise ValueError(f"{TABLE} must hold {N_POINTS} points, got {quads.shape} and {places.shape}")
    dense = quad_to_triangle(*descend(quads, places, levels), cut_ac)
    inner = np.asarray(MEDIAPIPE_68[17:])
    chin_y = float(vertices[faces[dense.triangles[152]]].mean(axis=0)[1])
    candidates = np.nonzero(outer[faces].all(axis=1))[0]
    nearest = closest_points(_jaw_targets(chin_y), vertices, faces[candidates]).points
    # Targets lie some millimetres off the surface, where a hair decides which fold is nearest: both sides agree first.
    agreed = 0.5 * (nearest + nearest[::-1] * np.array([-1.0, 1.0, 1.0]))
    found = closest_points(agreed, vertices, faces[candidates])
    jaw = SurfacePoints(candidates[found.triangles], found.barycentrics)
    both = [(jaw.triangles, jaw.barycentrics), (dense.triangles[inner], dense.barycentrics[inner])]
    return {
        "478": dense,
        "68": SurfacePoints(np.concatenate([t for t, _ in both]), np.concatenate([w for _, w in both])),
        "51": SurfacePoints(*both[1]),
    }


def _packaged_table() -> tuple[IntArray, FloatArray]:
    with np.load(str(resources.files("bfm.open") / TABLE), allow_pickle=False) as table:
        return table["quads"], table["places"]


def descend(quads: IntArray, places: FloatArray, levels: int) -> tuple[IntArray, FloatArray]:
    """Coarse quads ``(N,)`` and places ``(N, 2)`` in them to the quads of a finer level.

    A place (s, t) lies in the unit square with the quad's corners at (0,0), (1,0), (1,1), (0,1); child ``4i + k`` of quad
    ``i`` starts at corner ``k`` and is turned by ``k`` quarter turns.
    """
    for _ in range(levels):
        s, t = places.T
        child = np.where(t < 0.5, np.where(s < 0.5, 0, 1), np.where(s < 0.5, 3, 2))
        local = np.stack(
            [
                np.choose(child, [2 * s, 2 * t, 2 * (1 - s), 2 * (1 - t)]),
                np.choose(child, [2 * t, 2 * (1 - s), 2 * (1 - t), 2 * s]),
            ],
            axis=1,
        )
        quads, places = 4 * quads + child, np.clip(local, 0.0, 1.0)
    return quads, places


def ascend(quads: IntArray, places: FloatArray, levels: int) -> tuple[IntArray, FloatArray]:
    """The inverse of :func:`descend`."""
    for _ in range(levels):
        child = quads % 4
        s, t = 0.5 * places.T
        places = np.stack([np.choose(child, [s, 1 - t, 1 - s, t]), np.choose(child, [t, s, 1 - t, 1 - s])], axis=1)
        quads = quads // 4
    return quads, places


def quad_to_triangle(quads: IntArray, places: FloatArray, cut_ac: BoolArray) -> SurfacePoints:
    """Places in quads as points on the two triangles that each quad was cut into."""
    s, t = places.T
    ac = cut_ac[quads]
    second = np.where(ac, t > s, s + t > 1.0)
    first_ac = np.stack([1 - s, s - t, t], axis=1)
    second_ac = np.stack([1 - t, s, t - s], axis=1)
    first_bd = np.stack([1 - s - t, s, t], axis=1)
    second_bd = np.stack([1 - t, s + t - 1, 1 - s], axis=1)
    cut_one = np.where(second[:, None], second_ac, first_ac)
    cut_two = np.where(second[:, None], second_bd, first_bd)
    return SurfacePoints(2 * quads + second, np.where(ac[:, None], cut_one, cut_two))


def triangle_to_quad(points: SurfacePoints, cut_ac: BoolArray) -> tuple[IntArray, FloatArray]:
    """The inverse of :func:`quad_to_triangle`."""
    quads, second = points.triangles // 2, points.triangles % 2 == 1
    u, v, w = points.barycentrics.T
    ac = cut_ac[quads]
    s = np.where(ac, np.where(second, v, v + w), np.where(second, 1 - w, v))
    t = np.where(ac, np.where(second, v + w, w), np.where(second, 1 - u, w))
    return quads, np.stack([s, t], axis=1)


def _jaw_targets(chin_y_mm: float) -> FloatArray:
    """``(17, 3)`` targets, stretched in height so that the middle one is at the model's chin."""
    half = _JAW_MM * np.array([1.0, chin_y_mm / _JAW_CHIN_Y_MM, 1.0])
    return np.concatenate([half * np.array([-1.0, 1.0, 1.0]), half[-2::-1]])
