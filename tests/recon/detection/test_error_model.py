"""Observations: points without their detector's bias, and the errors that points share."""

import numpy as np
import pytest

from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.error_model import (
    ErrorModelError,
    LandmarkErrorModel,
    load_error_model,
    pose_features,
    roll_of,
    save_error_model,
    upright_turn,
)
from recon.detection.observation import LandmarkObservation

_RNG = np.random.default_rng(0)
_MEAN = _RNG.normal(size=(9, 3)) * [40.0, 50.0, 20.0]


def _model(n_modes: int = 2) -> LandmarkErrorModel:
    rng = np.random.default_rng(1)
    return LandmarkErrorModel(
        "9", _MEAN, rng.normal(size=(6, 9, 2)), rng.uniform(0.5, 2.0, 9), rng.normal(size=(n_modes, 9, 2)), {"seed": 1}
    )


def _picture(roll_rad: float = 0.0, yaw_rad: float = 0.3) -> np.ndarray:
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turned = _MEAN @ np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]]).T
    upright = turned[:, :2] * [2.0, -2.0]
    return upright @ upright_turn(roll_rad).T + [200.0, 150.0]


def test_the_covariance_is_the_models():
    model, stated = _model(), np.linspace(1.0, 3.0, 9)
    seen = model.observe(_picture(), stated, 0.0)
    found = np.diag(np.repeat(seen.sigma_px, 2))
    axes = seen.modes.reshape(2, -1)
    found = found @ (np.eye(18) + axes.T @ np.diag(seen.mode_sigma**2) @ axes) @ found
    own = np.diag(np.repeat(stated * model.own_sigma, 2) ** 2)
    shared = (stated[None, :, None] * model.modes).reshape(2, -1)
    assert np.allclose(found, own + shared.T @ shared)
    assert np.allclose(axes @ axes.T, np.eye(2))


def test_the_bias_is_taken_off_and_depends_on_the_pose():
    model, stated = _model(), np.full(9, 2.0)
    for yaw in (0.3, -0.5):
        points = _picture(yaw_rad=yaw)
        features = pose_features(points, _MEAN)
        assert abs(features[1]) == pytest.approx(abs(np.sin(yaw)), abs=1e-6)
        expected = points - 2.0 * np.tensordot(features, model.bias, axes=1)
        assert np.allclose(model.observe(points, stated, 0.0).points_px, expected)


def test_a_turned_photo_turns_bias_and_modes():
    model, stated, roll = _model(), np.full(9, 1.5), 0.7
    upright, turned = (model.observe(_picture(r), stated, r) for r in (0.0, roll))
    turn = upright_turn(roll)
    assert np.allclose((turned.points_px - [200.0, 150.0]) @ turn, upright.points_px - [200.0, 150.0])
    assert np.allclose(turned.mode_sigma, upright.mode_sigma)
    # An axis may come with the other sign.
    for found, wanted in zip(turned.modes @ turn, upright.modes, strict=True):
        assert np.allclose(found, wanted) or np.allclose(found, -wanted)


def test_roll_is_clockwise_in_the_photo():
    marks = np.zeros((68, 2))
    marks[36:42], marks[42:48], marks[30], marks[48], marks[54] = [-31, -29], [31, -29], [0, 4], [-25, 38], [25, 38]
    assert roll_of(marks) == pytest.approx(0.0, abs=1e-6)
    assert roll_of(marks @ upright_turn(0.4).T) == pytest.approx(0.4, abs=1e-6)


def test_without_modes_errors_are_independent():
    seen = _model(0).observe(_picture(), np.full(9, 2.0), 0.0)
    assert seen.modes.shape == (0, 9, 2) and seen.mode_sigma.shape == (0,)


def test_files_keep_the_model_and_others_are_refused(tmp_path):
    path = save_error_model(tmp_path / "e.npz", _model())
    found = load_error_model(path)
    assert found.landmark_set == "9" and found.facts == {"seed": 1}
    for name in ("mean_obj", "bias", "own_sigma", "modes"):
        assert np.allclose(getattr(found, name), getattr(_model(), name), rtol=1e-6)
    (tmp_path / "bad.npz").write_bytes(b"PK no archive")
    with pytest.raises(ErrorModelError, match="is no error model of landmarks"):
        load_error_model(tmp_path / "bad.npz")
    np.savez(
        tmp_path / "other.npz",
        header=np.array('{"format": "x", "landmark_set": "9"}'),
        mean_obj=0,
        bias=0,
        own_sigma=0,
        modes=0,
    )
    with pytest.raises(ErrorModelError, match="format 'x'"):
        load_error_model(tmp_path / "other.npz")


def test_observations_that_make_no_sense_are_refused():
    points = np.zeros((3, 2))
    with pytest.raises(ValueError, match="finite points"):
        LandmarkObservation.independent(points + np.nan, 1.0)
    with pytest.raises(ValueError, match="as many positive sigmas"):
        LandmarkObservation.independent(points, 0.0)


def test_dense_landmarks_hold_sets():
    points = _RNG.normal(size=(520 + 478, 3))
    ones = np.ones(998)
    dense = DenseLandmarks(points, ones, 2.0 * ones, 0.5 * ones, (("520", 520), ("478", 478)))
    assert dense.names == ("68", "520", "478")
    assert np.array_equal(dense.subset("68").points_px, points[:68])
    assert np.array_equal(dense.subset("478").points_px, points[520:])
    twice = dense.scaled(2.0)
    assert np.array_equal(twice.points_px, 2.0 * points) and float(twice.sigma_px[0]) == 2.0
    assert np.array_equal(twice.visible, dense.visible)
    with pytest.raises(KeyError, match="no landmark set '21'; there are: 68, 520, 478"):
        dense.subset("21")
    with pytest.raises(ValueError, match="sigma_px must hold 998 finite values"):
        DenseLandmarks(points, ones[:5], ones, ones, dense.sets)
    with pytest.raises(ValueError, match="must be positive"):
        DenseLandmarks(points, 0.0 * ones, ones, ones, dense.sets)
