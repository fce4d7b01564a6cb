"""Error models fitted to errors of known making."""

import numpy as np
import pytest

from recon.cli import main
from recon.datasets import FolderReader
from recon.detection.error_model import roll_of
from recon.detection.face import Face
from recon.evaluation.calibration import drawn_faces, fit_error_model, kept_faces, measure_errors
from recon.synthesis import FaceSampler, SynthesisConfig

_N = 30


def _measured(shared: float, count: int = 600):
    """Errors of known making."""
    rng = np.random.default_rng(3)
    bias = 0.5 * rng.normal(size=(_N, 2))
    own = rng.uniform(0.5, 1.5, _N)
    modes = shared * rng.normal(size=(3, _N, 2))
    error = bias + own[:, None] * rng.normal(size=(count, _N, 2))
    error += np.tensordot(rng.normal(size=(count, 3)), modes, axes=1)
    return error, bias, own, modes


def test_bias_sigmas_and_modes_are_found_again():
    errors, bias, own, modes = _measured(0.8)
    model = fit_error_model(errors, "30", {"seed": 3})
    assert len(model.modes) == 8 and model.facts["faces"] == 600 and model.facts["seed"] == 3
    assert np.abs(model.bias - bias).mean() < 0.1
    # Fewer samples than unknowns leave a little more than is there.
    assert 1.0 < np.median(model.own_sigma / own) < 1.7
    flat, wanted = model.modes.reshape(len(model.modes), -1), 0.5 * modes.reshape(3, -1)
    assert np.linalg.norm(flat.T @ flat - wanted.T @ wanted) < 0.25 * np.linalg.norm(wanted.T @ wanted)


def test_independent_errors_have_no_modes():
    assert len(fit_error_model(_measured(0.0)[0], "30", {}).modes) == 0


def test_sigmas_are_widened_where_modes_do_not_tell_what_is_shared():
    """Each face errs along its own smooth wave: no few modes hold that."""
    rng = np.random.default_rng(5)
    errors, *_ = _measured(0.0)
    place = np.linspace(0.0, 1.0, _N)
    width = 0.15
    kernel = np.exp(-0.5 * ((place[:, None] - place[None]) / width) ** 2) + 1e-6 * np.eye(_N)
    smooth = np.einsum("nk,mkd->mnd", np.linalg.cholesky(kernel), rng.normal(size=(600, _N, 2)))
    few, rough = (fit_error_model(seen[:60], "30", {}) for seen in (smooth, errors))
    assert few.facts["own_sigma_widened"] > 1.5 * rough.facts["own_sigma_widened"]


def test_a_few_lost_faces_do_not_shape_the_covariance():
    errors, *_ = _measured(0.0)
    lost = errors.copy()
    lost[::100] = 300.0
    model = fit_error_model(lost, "30", {})
    assert model.facts["lost"] == 6 and model.own_sigma.max() < 4.0


def test_too_few_faces_are_refused():
    errors, *_ = _measured(0.0, count=20)
    with pytest.raises(ValueError, match="at least 50 faces, got 20"):
        fit_error_model(errors, "30", {})


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

    errors, missed = measure_errors(detect, drawn_faces(sampler, range(3), "478"), "478")
    assert missed == 1 and errors.shape == (2, 478, 2)
    for k, index in enumerate((0, 2)):
        true = sampler[index].landmarks478_px[0].double().numpy()
        size = np.sqrt(np.prod(true.max(axis=0) - true.min(axis=0)))
        assert np.allclose(np.linalg.norm(errors[k], axis=1), 1.5 / (0.01 * size))
        # Upright: what is to the right in the photo is turned as the face is.
        roll = roll_of(sampler[index].landmarks68_px[0].double().numpy())
        assert np.allclose(np.arctan2(errors[k, :, 1], errors[k, :, 0]), -roll)
    with pytest.raises(ValueError, match="found none of 1 synthetic faces"):
        measure_errors(lambda _: [], drawn_faces(sampler, range(1), "478"), "478")


def test_kept_faces_are_those_that_were_drawn(open_model, tmp_path):
    config = SynthesisConfig.clean(framing="free", yaw_deg=20.0)
    truth = list(drawn_faces(FaceSampler(open_model, config, 5, (40, 48)), range(2), "520"))
    settings = ["--clean", "--size", "40x48", "--seed", "5", "--set", "framing=free", "--set", "yaw_deg=20"]
    assert main(["synthesize", "-o", str(tmp_path / "a"), "--count", "2", *settings]) == 0
    reader = FolderReader(tmp_path / "a")
    kept = list(kept_faces(reader, "520"))
    for mine, theirs in zip(kept, truth, strict=True):
        assert mine.image.shape == theirs.image.shape == (40, 48, 3)
        assert np.abs(mine.image.astype(float) - theirs.image).mean() < 4.0, "beyond what JPEG does"
        np.testing.assert_allclose(mine.points_px, theirs.points_px, atol=1e-3)
        np.testing.assert_allclose(mine.landmarks68_px, theirs.landmarks68_px, atol=1e-3)
    with pytest.raises(ValueError, match="has no landmarks '99'"):
        list(kept_faces(reader, "99"))
