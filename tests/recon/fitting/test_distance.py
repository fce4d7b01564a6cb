"""The distance of a head from its perspective, where the focal length is not known."""

import dataclasses

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.detection.observation import LandmarkObservation
from recon.fitting import FaceFitter, FitSettings, View
from recon.rotation import euler_to_matrix, rotation_angle

_SIZE = (400, 480)
_POINTS_ONLY = FitSettings(levels=())


@pytest.fixture(scope="module")
def fitter(open_model):
    return FaceFitter(open_model)


def _view(model, distance_mm, seed=0, focal_px=None, stated=None):
    """A head whose face always fills the same part of the picture, its points off by 0.4 % of the face's size.

    ``stated`` is a detector's guess of that share, instead of a calibration.
    """
    generator = torch.Generator().manual_seed(seed)
    v_obj = model.shape(torch.randn(1, model.n_identity, generator=generator))
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[5.0, 12.0, -4.0]])))
    translation_mm = torch.tensor([[8.0, -6.0, -distance_mm]])
    true_px = torch.full((1, 2), 1.7 * distance_mm)
    camera = PerspectiveCamera.at(rotation, translation_mm, size=_SIZE, focal_px=true_px)
    points = camera.to_pixels(camera.to_camera(model.landmarks(v_obj, "478")))[0].double().numpy()
    size_px = np.sqrt(np.prod(np.ptp(points, axis=0)))
    points = points + 0.004 * size_px * np.random.default_rng(seed).normal(size=points.shape)
    seen = LandmarkObservation.independent(points, (stated or 0.004) * size_px)
    seen = dataclasses.replace(seen, calibrated=stated is None)
    return View(np.full((*_SIZE, 3), 127, np.uint8), seen, focal_px), rotation


@pytest.mark.parametrize("distance_mm", [300.0, 900.0])
def test_a_near_head_is_found_where_it_is_and_told_how_surely(fitter, open_model, distance_mm):
    logarithms, sigmas = [], []
    for seed in range(4):
        view, rotation = _view(open_model, distance_mm, seed)
        found = fitter([view], _POINTS_ONLY)
        logarithms.append(np.log(-float(found.face.translation_mm[0, 2]) / distance_mm))
        sigmas.append(found.distance_sigma[0])
        assert float(torch.rad2deg(rotation_angle(found.face.rotation[0], rotation[0]))) < 3.0
    assert abs(np.mean(logarithms)) < 0.2
    assert np.all(np.abs(logarithms) < 3.0 * np.array(sigmas))
    assert 0.03 < min(sigmas) and max(sigmas) < 0.4


def test_what_is_far_is_known_less(fitter, open_model):
    sigmas = [fitter([_view(open_model, far)[0]], _POINTS_ONLY).distance_sigma[0] for far in (300.0, 3000.0)]
    assert sigmas[1] > 1.5 * sigmas[0]


def test_a_known_focal_length_stays_and_leaves_the_distance_to_the_size_of_the_head(fitter, open_model):
    view, _ = _view(open_model, 500.0, focal_px=850.0)
    found = fitter([view], _POINTS_ONLY)
    assert found.focal_px[0] == pytest.approx(850.0) and found.focal_sigma[0] < 1e-4
    assert -float(found.face.translation_mm[0, 2]) == pytest.approx(500.0, rel=0.1)
    assert 0.001 < found.distance_sigma[0] < 0.1


def test_points_whose_errors_were_not_measured_do_not_tell_the_distance(fitter, open_model):
    """What such points are off by together would be taken for perspective."""
    view, _ = _view(open_model, 300.0, stated=0.06)
    assert -float(fitter([view], _POINTS_ONLY).face.translation_mm[0, 2]) > 500.0
