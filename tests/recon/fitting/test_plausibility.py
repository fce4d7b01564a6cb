"""The prior of shape: its derivatives, and that it leaves the size of a head alone."""

import numpy as np
import pytest

from recon.fitting.plausibility import shape_prior, size_slope
from recon.fitting.points import PointModel, PointView, fit_points, project, rotation_of
from recon.fitting.unknowns import Layout

N_POINTS, N_IDENTITY, N_EXPRESSION = 90, 30, 2


def size_of(points):
    centred = points - points.mean(axis=0)
    return np.sqrt(np.square(centred).sum())


@pytest.fixture
def points():
    """A head whose first component is size, 5 % a standard deviation, and whose others are bumps."""
    rng = np.random.default_rng(7)
    angles = rng.uniform(-1.2, 1.2, (N_POINTS, 2))
    unit = np.stack([np.sin(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 0]) * np.cos(angles[:, 1])], axis=1)
    mean = unit * [70.0, 100.0, 60.0]
    identity = rng.normal(0.0, 1.2, (N_POINTS, 3, N_IDENTITY))
    identity[..., 0] = 0.05 * (mean - mean.mean(axis=0))
    return PointModel(mean, identity, rng.normal(0.0, 4.0, (N_POINTS, 3, N_EXPRESSION)), unit, bounded=False)


def test_slope_is_the_relative_change_of_size(points):
    slope = size_slope(points.mean, points.identity)
    for component in (0, 3, 29):
        grown = size_of(points.mean + 1e-3 * points.identity[..., component]) / size_of(points.mean)
        assert slope[component] == pytest.approx(1e3 * (grown - 1.0), rel=1e-2, abs=1e-5)
    assert slope[0] == pytest.approx(0.05, abs=0.01)


def test_normal_equations_are_those_of_the_residuals():
    """The slow twin differentiates the residuals numerically, two views, unequal sizes."""
    rng = np.random.default_rng(1)
    layout = Layout(4, 3, 2, 2, 27, 1)
    identity, expression = rng.normal(size=4), rng.uniform(0, 1, (2, 2))
    slope, sigma, weight = 0.05 * rng.normal(size=4), np.array([0.4, 0.7]), 2.0

    def residuals(step):
        moved = identity + step[layout.identity]
        size = 1.0 + slope @ moved
        faces = [(expression[k] + step[layout.expression(k)]) / sigma for k in range(2)]
        return np.concatenate([np.sqrt(weight) * moved, *faces]) / size

    small = 1e-6 * np.eye(layout.n_all)
    jacobian = np.stack([(residuals(e) - residuals(-e)) / 2e-6 for e in small], axis=1)
    normal, right = shape_prior(layout, identity, expression, weight, sigma, slope)
    np.testing.assert_allclose(normal, jacobian.T @ jacobian, atol=1e-6)
    np.testing.assert_allclose(right, -jacobian.T @ residuals(np.zeros(layout.n_all)), atol=1e-6)


def test_a_head_far_from_any_plausible_size_does_not_divide_by_zero():
    layout = Layout(1, 0, 0, 1)
    normal, right = shape_prior(layout, np.array([1.0]), np.zeros((1, 0)), 1.0, np.zeros(0), np.array([-1.0]))
    assert np.isfinite(normal).all() and np.isfinite(right).all()


def test_heads_of_average_size_are_found_at_average_size(points):
    """Photos do not show size, so whatever else a face has, it must not make the head small."""
    rng = np.random.default_rng(11)
    slope = size_slope(points.mean, points.identity)
    found = []
    for _ in range(12):
        identity = rng.normal(size=N_IDENTITY)
        identity[0] = 0.0
        rotation = rotation_of(rng.normal(0.0, 0.2, 3))
        at = (points.mean + points.identity @ identity) @ rotation.T + [0.0, 0.0, -1000.0]
        view = PointView(np.zeros((N_POINTS, 2)), np.ones(N_POINTS), 1500.0, np.array([200.0, 150.0]), 180.0)
        seen = project(at, view) + rng.normal(0.0, 2.0, (N_POINTS, 2))
        view = PointView(seen, view.weights, view.focal_px, view.principal_px, view.size_px)
        found.append(float(slope @ fit_points(points, [view], 0.02, 1.0, 0.4, 30).identity))
    assert abs(np.mean(found)) < 0.012
