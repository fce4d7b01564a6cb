"""Alignment by distance finds known motions, and its minimum is one."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.alignment import Similarity
from recon.evaluation.metrics.pose import geodesic_deg
from recon.evaluation.scans.icp import IcpSettings, align_to_surface

TEN_DEGREES = Rotation.from_rotvec(np.deg2rad(10.0) * np.array([2.0, -1.0, 2.0]) / 3.0).as_matrix()


def _ten_off(points, scale=1.0):
    """10 degrees about the centre and 10 mm away."""
    centre = points.mean(axis=0)
    return Similarity(
        scale, TEN_DEGREES, centre - scale * TEN_DEGREES @ centre + 10.0 * np.array([1.0, -2.0, 2.0]) / 3.0
    )


@pytest.mark.parametrize("robust", [True, False])
def test_a_rigid_motion_of_10_degrees_and_10_mm_is_undone(neutral_head, robust):
    surface = neutral_head.surface.within(neutral_head.nose_tip, 95.0)
    motion = _ten_off(surface.vertices)
    found = align_to_surface(motion.apply(surface.vertices), surface, settings=IcpSettings(robust=robust))
    assert found.converged
    left = motion.then(found.motion)
    assert np.abs(left.apply(surface.vertices) - surface.vertices).max() < 1e-3
    assert geodesic_deg(left.rotation, np.eye(3)) < 1e-3


def test_a_scale_of_8_percent_is_undone_too(neutral_head):
    surface = neutral_head.surface.within(neutral_head.nose_tip, 95.0)
    motion = _ten_off(surface.vertices, scale=1.08)
    found = align_to_surface(
        motion.apply(surface.vertices), surface, settings=IcpSettings(with_scale=True, robust=False)
    )
    assert found.motion.scale == pytest.approx(1.0 / 1.08, abs=1e-5)
    assert np.abs(motion.then(found.motion).apply(surface.vertices) - surface.vertices).max() < 1e-3


def test_the_result_is_a_minimum_of_the_distances_in_the_unit_of_the_points(neutral_head):
    surface = neutral_head.surface.within(neutral_head.nose_tip, 80.0)
    rng = np.random.default_rng(0)
    bumpy = surface.vertices + 2.0 * rng.normal(size=surface.vertices.shape)
    found = align_to_surface(bumpy, surface, settings=IcpSettings(with_scale=True, robust=False)).motion

    def cost(motion):
        return ((surface.closest(motion.apply(bumpy)).distance / motion.scale) ** 2).sum()

    best, centre = cost(found), found.apply(bumpy).mean(axis=0)
    for scale in (0.999, 1.001):
        assert cost(found.then(Similarity(scale, np.eye(3), (1.0 - scale) * centre))) > best
    for axis in np.eye(3):
        for size in (-1e-3, 1e-3):
            turn = Rotation.from_rotvec(size * axis).as_matrix()
            assert cost(found.then(Similarity(1.0, turn, centre - turn @ centre))) > best
            assert cost(found.then(Similarity(1.0, np.eye(3), 100.0 * size * axis))) > best


def test_part_of_a_surface_is_laid_on_the_whole_and_junk_is_left_out(neutral_head):
    surface = neutral_head.surface
    part = surface.within(neutral_head.nose_tip, 60.0).vertices
    junk = neutral_head.nose_tip + np.array([0.0, 0.0, 60.0]) + np.random.default_rng(0).normal(size=(40, 3))
    motion = Similarity(1.0, Rotation.from_rotvec([0.0, 0.05, 0.0]).as_matrix(), np.array([3.0, 0.0, 2.0]))
    found = align_to_surface(motion.apply(np.concatenate([part, junk])), surface).motion
    assert np.abs(motion.then(found).apply(part) - part).max() < 1e-2


def test_too_few_points_are_refused(sphere):
    with pytest.raises(ValueError, match="at least six points"):
        align_to_surface(np.zeros((5, 3)), sphere)
