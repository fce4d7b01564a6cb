"""Error models fitted to errors of known making."""

import numpy as np
import pytest

from recon.detection.error_model import pose_features
from recon.detection.face import Face
from recon.evaluation.calibration import MeasuredErrors, fit_error_model, measure_errors
from recon.synthesis import FaceSampler, SynthesisConfig

_N = 30


def _measured(shared: float, count: int = 600):
    rng = np.random.default_rng(3)
    mean = rng.normal(size=(_N, 3)) * [40.0, 50.0, 25.0]
    yaw = rng.uniform(-0.8, 0.8, count)
    turned = np.stack(
        [np.cos(yaw)[:, None] * mean[:, 0] + np.sin(yaw)[:, None] * mean[:, 2], mean[:, 1][None].repeat(count, 0)],
        axis=-1,
    )
    found = turned * [1.0, -1.0] + 100.0
    features = np.stack([pose_features(points, mean) for points in found])
    bias = np.zeros((6, _N, 2))
    bias[0, :, 0], bias[1, :, 1] = 0.5, 1.0
    own = rng.uniform(0.5, 1.5, _N)
    modes = shared * rng.normal(size=(3, _N, 2))
    error = np.tensordot(features, bias, axes=1) + own[:, None] * rng.normal(size=(count, _N, 2))
    error += np.tensordot(rng.normal(size=(count, 3)), modes, axes=1)
    return MeasuredErrors(found, error), mean, bias, own, modes


def test_bias_sigmas_and_modes_are_found_again():
    errors, mean, bias, own, modes = _measured(0.8)
    model = fit_error_model(errors, mean, "30", {"seed": 3})
    assert len(model.modes) == 8 and model.facts["faces"] == 600 and model.facts["seed"] == 3
    features = np.stack([pose_features(points, mean) for points in errors.found_px])
    expected, found = (np.tensordot(features, b, axes=1) for b in (bias, model.bias))
    assert np.abs(found - expected).mean() < 0.12
    assert np.abs(model.own_sigma / own - 1.0).mean() < 0.08
    flat, wanted = model.modes.reshape(len(model.modes), -1), modes.reshape(3, -1)
    covariance, true = flat.T @ flat, wanted.T @ wanted
    assert np.linalg.norm(covariance - true) < 0.25 * np.linalg.norm(true)


def test_independent_errors_have_no_modes():
    errors, mean, *_ = _measured(0.0)
    assert len(fit_error_model(errors, mean, "30", {}).modes) == 0


def test_a_few_lost_faces_do_not_shape_the_covariance():
    errors, mean, _, own, _ = _measured(0.0)
    lost = errors.error.copy()
    lost[::100] = 300.0
    model = fit_error_model(MeasuredErrors(errors.found_px, lost), mean, "30", {})
    assert model.own_sigma.max() < 2.5


def test_too_few_faces_are_refused():
    errors, mean, *_ = _measured(0.0, 20)
    with pytest.raises(ValueError, match="at least 50 faces, got 20"):
        fit_error_model(errors, mean, "30", {})


def test_errors_are_measured_upright_and_in_stated_sigmas(open_model):
    sampler = FaceSampler(open_model, SynthesisConfig.clean(framing="free", yaw_deg=20.0, roll_deg=40.0), 2, (96, 96))
    calls = iter(range(3))

    def detect(pixels):
        index = next(calls)
        if index == 1:
            return []
        true = sampler[index].landmarks478_px[0].double().numpy()
        points = np.column_stack([true + [1.5, 0.0], np.zeros(478)])
        box = np.concatenate([true.min(axis=0), true.max(axis=0)])
        return [Face(box, points[:5, :2], 1.0, "test", landmarks478=points)]

    errors, missed = measure_errors(detect, sampler, range(3), "478")
    assert missed == 1 and errors.error.shape == (2, 478, 2)
    for k, index in enumerate((0, 2)):
        true = sampler[index].landmarks478_px[0].double().numpy()
        size = np.sqrt(np.prod(true.max(axis=0) - true.min(axis=0)))
        lengths = np.linalg.norm(errors.error[k], axis=1)
        assert np.allclose(lengths, 1.5 / (0.01 * size))
    eyes = errors.found_px[0][[33, 263]]
    # MediaPipe's right eye's outer corner is on the viewer's left; upright, both lie level up to the yaw.
    assert abs(eyes[1, 1] - eyes[0, 1]) < 0.15 * abs(eyes[1, 0] - eyes[0, 0])
    with pytest.raises(ValueError, match="found none of 1 drawn faces"):
        measure_errors(lambda _: [], sampler, range(1), "478")
