from __future__ import annotations

import numpy as np
import pytest

from bfm.open.eyeball import IRIS_ANGLE_DEG, PUPIL_ANGLE_DEG, RADIUS_MM, Eyeball, make_eyeball
from bfm.open.quads import catmull_clark, edges_of, split_linear, triangulate


def smoothed(eye: Eyeball) -> tuple[np.ndarray, np.ndarray]:
    v, quads = eye.directions, eye.quads
    for _ in range(2):
        matrix, quads = catmull_clark(quads, len(v))
        v = matrix @ v
    return v, quads


def test_on_the_unit_sphere_after_two_steps() -> None:
    eye = make_eyeball()
    v, _ = smoothed(eye)
    radius = np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(radius[: len(eye.directions)], 1.0, atol=1e-3)
    # Between them the net is as coarse as it is on the back of the eye.
    front = v[:, 2] > 0.0
    assert np.abs(radius[front] - 1.0).max() < 0.004 and np.abs(radius - 1.0).max() < 0.03


def test_closed_and_outward() -> None:
    eye = make_eyeball()
    edges, sides = edges_of(eye.quads)
    assert (np.bincount(sides.ravel()) == 2).all()
    assert len(eye.directions) - len(edges) + len(eye.quads) == 2
    a, b, c, d = eye.directions[eye.quads].transpose(1, 0, 2)
    normal = np.cross(c - a, d - b)
    assert ((normal * (a + b + c + d)).sum(axis=1) > 0.0).all()


def test_rings_of_iris_and_pupil_are_there() -> None:
    """Colour changes at the edges of pupil and iris: there must be vertices to carry the change."""
    eye = make_eyeball()
    angle_deg = np.degrees(eye.angle_rad)
    assert np.abs(angle_deg - PUPIL_ANGLE_DEG).min() < 0.1
    assert 0.0 < np.abs(angle_deg - IRIS_ANGLE_DEG).min() < 2.0
    assert angle_deg.min() == pytest.approx(0.0) and angle_deg.max() == pytest.approx(180.0)
    smooth = smoothed(eye)[0][: len(angle_deg)]
    axis = smooth[:, 2] / np.linalg.norm(smooth, axis=1)
    np.testing.assert_allclose(np.degrees(np.arccos(np.clip(axis, -1, 1))), angle_deg, atol=0.5)
    assert 2 * RADIUS_MM * np.sin(np.radians(IRIS_ANGLE_DEG)) == pytest.approx(11.8, abs=0.1)


def test_texture_is_a_disc_without_folds() -> None:
    """Every quad keeps its winding in the texture, before and after subdivision: no folds and no overlaps."""
    eye = make_eyeball()
    uv, quads = eye.uv, eye.uv_quads
    assert uv.min() >= 0.0 and uv.max() <= 1.0
    step, finer = split_linear(quads, len(uv))
    for points, faces in ((uv, quads), (step @ uv, finer)):
        triangles, _ = triangulate(faces, points)
        a, b, c = points[triangles].transpose(1, 0, 2)
        assert (np.linalg.det(np.stack([b - a, c - a], axis=-2)) > 1e-9).all()
    assert len(quads) == len(eye.quads)
    own = (eye.uv_quads != eye.quads).any(axis=1)
    assert np.degrees(eye.angle_rad[eye.quads[own]].min()) > 150.0, "only the back has texture corners of its own"
    assert (eye.uv_quads[~own] == eye.quads[~own]).all() and own.sum() == 16
    np.testing.assert_allclose(uv[eye.angle_rad.argmin()], 0.5, atol=1e-9)
