"""Similarities and affine views are found again; similarities can be undone."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from recon.alignment import Similarity, fit_similarity, planar_angle, scaled_orthography, umeyama

RNG = np.random.default_rng(3)
POINTS = RNG.normal(size=(11, 3)) * [30.0, 50.0, 10.0]
MOTION = Similarity(1.3, Rotation.from_rotvec([0.4, -0.2, 0.7]).as_matrix(), np.array([5.0, -7.0, 2.0]))


def test_a_known_similarity_is_recovered():
    found = fit_similarity(POINTS, MOTION.apply(POINTS))
    assert found.scale == pytest.approx(1.3, rel=1e-12)
    np.testing.assert_allclose(found.rotation, MOTION.rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, MOTION.translation, atol=1e-10)


def test_without_scale_the_motion_is_rigid_and_optimal():
    target = MOTION.apply(POINTS) + RNG.normal(size=POINTS.shape)
    found = fit_similarity(POINTS, target, with_scale=False)
    assert found.scale == 1.0
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
    best = ((found.apply(POINTS) - target) ** 2).sum()
    for _ in range(20):
        nudge = Similarity(1.0, Rotation.from_rotvec(RNG.normal(size=3) * 1e-3).as_matrix(), RNG.normal(size=3) * 1e-2)
        assert ((found.then(nudge).apply(POINTS) - target) ** 2).sum() >= best


def test_mirrored_points_give_no_reflection():
    found = fit_similarity(POINTS, POINTS * [-1.0, 1.0, 1.0])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_inverse_and_composition():
    second = Similarity(0.6, Rotation.from_rotvec([-0.1, 0.9, 0.3]).as_matrix(), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(MOTION.inverse().apply(MOTION.apply(POINTS)), POINTS, atol=1e-10)
    np.testing.assert_allclose(MOTION.then(second).apply(POINTS), second.apply(MOTION.apply(POINTS)), atol=1e-10)


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        (POINTS[:2], POINTS[:2], "at least three pairs"),
        (POINTS, POINTS[:5], "at least three pairs"),
        (np.ones((4, 3)), POINTS[:4], "all in one"),
        (np.full((4, 3), np.nan), POINTS[:4], "nan or inf"),
    ],
)
def test_impossible_points_are_refused(source, target, text):
    with pytest.raises(ValueError, match=text):
        fit_similarity(source, target)


def turned_by(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]])


def test_planar_similarities_of_a_batch_are_found_and_not_mirrored():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 5, 2, generator=generator, dtype=torch.float64)
    rotations, shifts = torch.stack([turned_by(0.7), turned_by(-3.0)]), torch.tensor([[3.0, -2.0], [0.0, 9.0]])
    scales = torch.tensor([1.25, 0.4], dtype=torch.float64)
    moved = scales[:, None, None] * points @ rotations.mT + shifts[:, None].double()
    scale, rotation, shift = umeyama(points, moved)
    torch.testing.assert_close(scale, scales)
    torch.testing.assert_close(rotation, rotations)
    torch.testing.assert_close(shift, shifts.double())
    torch.testing.assert_close(planar_angle(points, moved), torch.tensor([0.7, -3.0], dtype=torch.float64))
    mirrored = umeyama(points, points * torch.tensor([-1.0, 1.0]))[1]
    torch.testing.assert_close(torch.linalg.det(mirrored), torch.ones(2, dtype=torch.float64))


def test_the_plane_and_space_agree():
    """Points with z = 0 have the planar similarity in space too."""
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 4, 6, 2, generator=generator, dtype=torch.float64)
    flat, solid = umeyama(a, b), umeyama(*(torch.nn.functional.pad(x, (0, 1)) for x in (a, b)))
    turned_over = solid[1][:, 2, 2] < 0.0  # in space a plane may be turned over, which is a reflection in the plane
    assert bool((~turned_over).any()) and bool((solid[0] >= flat[0] - 1e-12).all())
    torch.testing.assert_close(solid[0][~turned_over], flat[0][~turned_over])
    torch.testing.assert_close(solid[1][~turned_over, :2, :2], flat[1][~turned_over])
    torch.testing.assert_close(solid[2][~turned_over, :2], flat[2][~turned_over])


def test_points_in_one_place_have_no_scale():
    scale, rotation, shift = umeyama(torch.ones(1, 4, 2), torch.randn(1, 4, 2) + 5.0)
    assert float(scale) == 0.0 and bool(torch.isfinite(rotation).all()) and bool(torch.isfinite(shift).all())
    with pytest.raises(ValueError, match="in 2 or 3 dimensions, got 4"):
        umeyama(torch.ones(1, 5, 4), torch.ones(1, 5, 4))


def test_a_scaled_orthographic_view_is_recovered_and_weights_count():
    points = torch.from_numpy(POINTS)
    rows, origin = torch.from_numpy(1.7 * MOTION.rotation[:2])[None], torch.tensor([[100.0, -40.0]])
    seen = points @ rows.mT + origin
    found = scaled_orthography(points, seen)
    torch.testing.assert_close(found[0], rows)
    torch.testing.assert_close(found[1], origin.double())
    wrong, weights = seen.clone(), torch.ones(1, len(points), dtype=torch.float64)
    wrong[:, 4] += 300.0
    weights[:, 4] = 0.0
    torch.testing.assert_close(scaled_orthography(points, wrong, weights)[0], rows)
    assert not torch.allclose(scaled_orthography(points, wrong)[0], rows)


def test_points_in_a_plane_have_no_view():
    points = torch.from_numpy(POINTS * [1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="do not lie in one plane"):
        scaled_orthography(points, points[None, :, :2])
    weights = torch.zeros(1, len(points), dtype=torch.float64)
    weights[:, :3] = 1.0
    with pytest.raises(ValueError, match="do not lie in one plane"):
        scaled_orthography(torch.from_numpy(POINTS), points[None, :, :2], weights)
