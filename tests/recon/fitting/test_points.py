"""Shape and pose from landmarks alone."""

import dataclasses

import numpy as np
import pytest

from recon.fitting.points import (
    PointFit,
    PointModel,
    PointView,
    _linearise,
    fit_points,
    pose_from_points,
    project,
    rotation_of,
)


@pytest.fixture
def point_model():
    """60 points on a bumpy half ellipsoid with 4 identity and 3 expression components."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1.2, 1.2, (60, 2))
    unit = np.stack([np.sin(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 0]) * np.cos(angles[:, 1])], axis=1)
    mean = unit * [70.0, 100.0, 60.0] + rng.normal(0.0, 4.0, (60, 3))
    return PointModel(mean, rng.normal(0.0, 3.0, (60, 3, 4)), rng.normal(0.0, 6.0, (60, 3, 3)), unit, bounded=True)


def _view(point_model, identity, expression, spin, translation):
    rotation = rotation_of(np.asarray(spin))
    view = PointView(np.zeros((60, 2)), np.ones(60), 900.0, np.array([130.0, 90.0]), 150.0)
    points_obj = point_model.mean + point_model.identity @ identity + point_model.expression @ expression
    return dataclasses.replace(view, points_pix=project(points_obj @ rotation.T + translation, view)), rotation


def test_recovers_shape_and_pose_of_exact_landmarks(point_model):
    identity, expression = np.array([1.0, -0.8, 0.5, 0.2]), np.array([0.6, 0.0, 0.3])
    translation = np.array([12.0, -20.0, -800.0])
    view, rotation = _view(point_model, identity, expression, [0.2, -0.3, 0.1], translation)
    found = fit_points(point_model, [view], 0.0005, 1e-3, 10.0, 40)
    np.testing.assert_allclose(found.rotation[0], rotation, atol=2e-2)
    reprojected = project(found.points_obj(point_model, 0) @ found.rotation[0].T + found.translation_mm[0], view)
    assert np.abs(reprojected - view.points_pix).max() < 0.3
    np.testing.assert_allclose(found.identity, identity, atol=0.3)


def test_views_share_the_identity_and_keep_their_own_expression(point_model):
    identity = np.array([0.9, -0.7, 0.4, -0.3])
    expressions = [np.array([0.8, 0.0, 0.0]), np.array([0.0, 0.7, 0.2])]
    views = [
        _view(point_model, identity, expressions[0], [0.0, 0.5, 0.0], np.array([0.0, 10.0, -900.0]))[0],
        _view(point_model, identity, expressions[1], [0.1, -0.5, 0.1], np.array([5.0, 0.0, -700.0]))[0],
    ]
    both = fit_points(point_model, views, 0.0005, 1e-2, 5.0, 40)
    assert both.identity.shape == (4,)
    np.testing.assert_allclose(both.identity, identity, atol=0.1)
    np.testing.assert_allclose(both.expression, expressions, atol=0.1)


def test_weights_stay_in_the_unit_interval(point_model):
    view, _ = _view(point_model, np.zeros(4), np.array([1.6, -0.7, 0.4]), [0.0, 0.2, 0.0], np.array([0.0, 0.0, -800.0]))
    found = fit_points(point_model, [view], 0.001, 1.0, 1.0, 30)
    assert found.expression.min() >= 0.0
    assert found.expression.max() <= 1.0
    unbounded = fit_points(dataclasses.replace(point_model, bounded=False), [view], 0.001, 1.0, 1.0, 30)
    assert unbounded.expression.max() > 1.2
    assert unbounded.expression.min() < -0.2


def test_jacobian_is_the_derivative_of_the_projection(point_model):
    view, rotation = _view(
        point_model, np.full(4, 0.3), np.full(3, 0.4), [0.2, 0.4, -0.1], np.array([9.0, 5.0, -700.0])
    )
    state = PointFit(np.full(4, 0.2), np.full((1, 3), 0.3), rotation[None], np.array([[7.0, 3.0, -720.0]]))
    jacobian, _ = _linearise(point_model, view, state, 0)

    def pixels(step):
        moved = PointFit(
            state.identity + step[:4],
            state.expression + step[10:],
            (rotation_of(step[4:7]) @ state.rotation[0])[None],
            state.translation_mm + step[7:10],
        )
        return project(moved.points_obj(point_model, 0) @ moved.rotation[0].T + moved.translation_mm[0], view)

    for column in range(jacobian.shape[2]):
        step = np.zeros(13)
        step[column] = 1e-5
        slope = (pixels(step) - pixels(-step)) / 2e-5
        np.testing.assert_allclose(jacobian[:, :, column], slope, rtol=1e-5, atol=1e-5)


def test_one_wild_point_does_not_move_the_head(point_model):
    view, rotation = _view(point_model, np.zeros(4), np.zeros(3), [0.1, 0.2, 0.0], np.array([0.0, 0.0, -800.0]))
    points = view.points_pix.copy()
    points[7] += 80.0
    found = fit_points(point_model, [dataclasses.replace(view, points_pix=points)], 0.02, 1.0, 0.3, 25)
    np.testing.assert_allclose(found.rotation[0], rotation, atol=0.03)


def test_arguments_are_left_alone(point_model):
    view, _ = _view(point_model, np.zeros(4), np.zeros(3), [0.1, 0.2, 0.0], np.array([0.0, 0.0, -800.0]))
    before = [x.copy() for x in (point_model.mean, point_model.identity, view.points_pix, view.weights)]
    fit_points(point_model, [view], 0.02, 1.0, 0.3, 3)
    after = (point_model.mean, point_model.identity, view.points_pix, view.weights)
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y)


def test_landmarks_on_one_spot_are_refused(point_model):
    flat = dataclasses.replace(point_model, mean=np.zeros_like(point_model.mean))
    view = PointView(np.zeros((60, 2)), np.ones(60), 900.0, np.zeros(2), 100.0)
    with pytest.raises(ValueError, match="no pose follows"):
        pose_from_points(flat, view)
