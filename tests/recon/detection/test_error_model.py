"""Observations: points without their detector's bias, and the errors that points share."""

import numpy as np
import pytest

from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.error_model import (
    ErrorModelError,
    LandmarkErrorModel,
    load_error_model,
    roll_of,
    save_error_model,
    upright_turn,
)
from recon.detection.observation import LandmarkObservation

_RNG = np.random.default_rng(0)
_CENTRE = np.array([200.0, 150.0])
_UPRIGHT = _RNG.normal(size=(9, 2)) * [40.0, 50.0]
_UPRIGHT = _UPRIGHT - 0.5 * (_UPRIGHT.min(axis=0) + _UPRIGHT.max(axis=0))


def _model(n_modes: int = 2) -> LandmarkErrorModel:
    rng = np.random.default_rng(1)
    return LandmarkErrorModel(
        landmark_set="9",
        bias=rng.normal(size=(9, 2)),
        own_sigma=rng.uniform(0.5, 2.0, 9),
        modes=rng.normal(size=(n_modes, 9, 2)),
        facts={"seed": 1},
    )


def _photo(roll_rad: float) -> np.ndarray:
    return _UPRIGHT @ upright_turn(roll_rad).T + _CENTRE


def test_the_covariance_is_the_models():
    model, stated = _model(), np.linspace(1.0, 3.0, 9)
    seen = model.observe(_photo(0.0), stated, 0.0)
    sigma = np.diag(np.repeat(seen.sigma_px, 2))
    axes = seen.modes.reshape(2, -1)
    found = sigma @ (np.eye(18) + axes.T @ np.diag(seen.mode_sigma**2) @ axes) @ sigma
    own = np.diag(np.repeat(stated * model.own_sigma, 2) ** 2)
    shared = (stated[None, :, None] * model.modes).reshape(2, -1)
    assert np.allclose(found, own + shared.T @ shared)
    assert np.allclose(axes @ axes.T, np.eye(2))


@pytest.mark.parametrize("roll", [0.0, 0.7])
def test_the_true_points_leave_no_residual_but_the_noise(roll):
    """Points made by the model's own equation: what is left of them at the truth is the error that was put in."""
    model, stated = _model(), np.linspace(1.0, 3.0, 9)
    found = _photo(roll)
    noise = 0.3 * np.random.default_rng(2).normal(size=(9, 2))
    true_px = found - stated[:, None] * ((model.bias + noise) @ upright_turn(roll).T)
    seen = model.observe(found, stated, roll)
    residual = (true_px - seen.points_px) / seen.sigma_px[:, None] + seen.bias
    assert np.allclose(residual, -noise / model.own_sigma[:, None] @ upright_turn(roll).T)


def test_a_turned_photo_turns_bias_and_modes():
    model, stated, roll = _model(), np.full(9, 1.5), 0.7
    upright, turned = (model.observe(_photo(r), stated, r) for r in (0.0, roll))
    turn = upright_turn(roll)
    assert np.allclose(turned.bias @ turn, upright.bias)
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
    seen = _model(0).observe(_photo(0.2), np.full(9, 2.0), 0.2)
    assert seen.modes.shape == (0, 9, 2) and seen.mode_sigma.shape == (0,)


def test_files_keep_the_model_and_others_are_refused(tmp_path):
    path = save_error_model(tmp_path / "e.npz", _model())
    found = load_error_model(path)
    assert found.landmark_set == "9" and found.facts == {"seed": 1}
    for name in ("bias", "own_sigma", "modes"):
        assert np.allclose(getattr(found, name), getattr(_model(), name), rtol=1e-6)
    (tmp_path / "bad.npz").write_bytes(b"PK no archive")
    with pytest.raises(ErrorModelError, match="is no error model of landmarks"):
        load_error_model(tmp_path / "bad.npz")
    arrays = dict.fromkeys(("bias", "own_sigma", "modes"), 0.0)
    np.savez(tmp_path / "other.npz", header=np.array('{"format": "x", "landmark_set": "9"}'), **arrays)
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
    with pytest.raises(ValueError, match="points_px must hold 520 finite values"):
        DenseLandmarks(points, ones, ones, ones, (("520", 520),))
    with pytest.raises(ValueError, match="must be positive"):
        DenseLandmarks(points, 0.0 * ones, ones, ones, dense.sets)
