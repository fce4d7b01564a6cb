"""The distance of a head from its perspective, where the focal length is not known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.detection.observation import LandmarkObservation
from recon.fitting import FaceFitter, FitSettings, InitialEstimate, View
from recon.fitting.initial_estimate import InitialSigma
from recon.fitting.layout import ParameterLayout
from recon.fitting.state import FitState, StepLimits
from recon.parameters import FaceParameters
from recon.rotation import euler_to_matrix, rotation_angle, turn_to_ray

_SIZE = (400, 480)
_POINTS_ONLY = FitSettings(levels=())


@pytest.fixture(scope="module")
def fitter(open_model):
    return FaceFitter(open_model)


def _view(model, distance_mm, seed=0, focal_px=None, stated=None, aside_mm=8.0):
    """A head whose face always fills the same part of the picture, its points off by 0.4 % of the face's size.

    ``stated`` is a detector's guess of that share, instead of a calibration.
    """
    generator = torch.Generator().manual_seed(seed)
    v_obj = model.shape(torch.randn(1, model.n_identity, generator=generator))
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[5.0, 12.0, -4.0]])))
    translation_mm = torch.tensor([[aside_mm, -6.0, -distance_mm]])
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
        logarithms.append(np.log(-float(found.parameters.translation_mm[0, 2]) / distance_mm))
        sigmas.append(found.distance_sigma[0])
        assert float(torch.rad2deg(rotation_angle(found.parameters.rotation[0], rotation[0]))) < 3.0
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
    assert -float(found.parameters.translation_mm[0, 2]) == pytest.approx(500.0, rel=0.1)
    assert 0.001 < found.distance_sigma[0] < 0.1


def test_points_whose_errors_were_not_measured_do_not_tell_the_distance(fitter, open_model):
    """What such points are off by together would be taken for perspective."""
    view, _ = _view(open_model, 300.0, stated=0.06)
    found = fitter([view], _POINTS_ONLY)
    assert -float(found.parameters.translation_mm[0, 2]) > 500.0
    assert np.isnan(found.distance_sigma[0]) and np.isnan(found.focal_sigma[0])
    known = fitter([dataclasses.replace(view, focal_px=510.0)], _POINTS_ONLY)
    assert 0.0 < known.distance_sigma[0] < 0.2


def test_without_perspective_there_is_no_distance_to_know(fitter, open_model):
    view, _ = _view(open_model, 900.0)
    found = fitter([view], dataclasses.replace(_POINTS_ONLY, camera="weak_perspective"))
    assert np.isnan(found.distance_sigma[0])


def test_each_view_of_a_person_has_a_distance_of_its_own(fitter, open_model):
    views = [_view(open_model, far)[0] for far in (300.0, 1200.0)]
    found = fitter(views, _POINTS_ONLY)
    distances = -found.parameters.translation_mm[:, 2]
    assert np.all(np.abs(np.log(distances.numpy() / [300.0, 1200.0])) < 3.0 * np.array(found.distance_sigma))
    assert found.distance_sigma[0] < found.distance_sigma[1]


def test_a_rotation_known_from_its_ray_turns_with_the_distance(fitter, open_model):
    """A network's answer is right on the ray to the head, whatever distance was assumed for it."""
    view, rotation = _view(open_model, 300.0, aside_mm=110.0)
    truth = turn_to_ray(torch.tensor([[110.0, -6.0, -300.0]])).transpose(1, 2) @ rotation
    assumed_mm = torch.tensor([[110.0, -6.0, -1500.0]])  # the same pixels through a lens five times as long
    face = FaceParameters(
        torch.zeros(1, open_model.n_identity),
        torch.zeros(1, open_model.n_expression),
        torch.zeros(1, open_model.n_albedo),
        turn_to_ray(assumed_mm) @ truth,
        assumed_mm,
        None,
    )
    sure = InitialSigma(rotation_rad=math.radians(0.5))
    found = fitter([view], _POINTS_ONLY, InitialEstimate(face, (5.0 * 1.7 * 300.0,), sure))
    assert -float(found.parameters.translation_mm[0, 2]) < 450.0, "the points tell that the head is near"
    seen = turn_to_ray(found.parameters.translation_mm).transpose(1, 2) @ found.parameters.rotation
    assert float(torch.rad2deg(rotation_angle(seen[0], truth[0]))) < 1.0


@pytest.mark.parametrize("step", [-3.0, 3.0])
def test_a_step_goes_no_further_than_a_share_of_the_distance(step):
    layout = ParameterLayout(2, 0, 0, 1, 0, 1)
    face = FaceParameters(
        *(torch.zeros(1, n) for n in (2, 0, 0)), torch.eye(3)[None], torch.tensor([[0.0, 0.0, -800.0]]), None
    )
    state, limits = FitState.of(face), StepLimits(0.5, log_focal=0.2, distance_fraction=0.25)
    low, high = state.bounds(layout, limits, False)
    along, focal = layout.translation(0).stop - 1, layout.focal(0).start
    bound = high if step > 0.0 else low
    assert float(bound[along]) == pytest.approx(math.copysign(200.0, step))
    assert float(bound[focal]) == pytest.approx(math.copysign(0.2, step))
