"""Similarities are found again and can be undone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.evaluation.similarity import Similarity, fit_similarity

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
