"""Fits that begin where another method ends, with and without landmarks."""

import dataclasses

import numpy as np
import pytest
import torch

import bfm
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.detection.observation import LandmarkObservation
from recon.fitting import FaceFitter, FitSettings, InitialEstimate, InitialSigma, View
from recon.fitting.settings import Level
from recon.lighting import ambient, lamps_to_sh
from recon.parameters import FaceParameters
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, rotation_angle

_HEIGHT, _WIDTH, _FOCAL_PX = 200, 240, 900.0
_SIGMA_PX = 6.0
_SETTINGS = FitSettings(levels=(Level(96, 2.0, 6), Level(128, 1.0, 4)))


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=20, n_albedo=20)


@pytest.fixture(scope="module")
def truth(model):
    generator = torch.Generator().manual_seed(4)
    lamp = lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.full((1, 1, 3), 1.2))
    identity, albedo = torch.randn(2, 1, 20, generator=generator)
    return FaceParameters(
        0.8 * identity,
        torch.zeros(1, model.n_expression),
        0.5 * albedo,
        euler_to_matrix(torch.tensor([[0.05, 0.4, 0.05]])),
        torch.tensor([[5.0, 20.0, -1000.0]]),
        ambient(torch.full((1, 3), 0.5)) + lamp,
    )


@pytest.fixture(scope="module")
def photo(model, truth):
    """A rendered head, and its true landmarks."""
    camera = PerspectiveCamera.at(
        truth.rotation, truth.translation_mm, size=(_HEIGHT, _WIDTH), focal_px=torch.full((1, 2), _FOCAL_PX)
    )
    vertices = model.shape(truth.identity, truth.expression)
    with torch.no_grad():
        mesh = Mesh.of(vertices, Topology.of(model.faces, model.n_vertices), model.albedo(truth.albedo))
        rendered = render(mesh, camera, truth.lighting, (_HEIGHT, _WIDTH))
    picture = (
        (encode_srgb_unclamped(rendered.image, "linear") + 0.15 * (1.0 - rendered.mask))
        .clamp(0.0, 1.0)[0]
        .permute(1, 2, 0)
    )
    points = camera.to_pixels(camera.to_camera(model.landmarks(vertices, "478")))[0].double().numpy()
    return (255.0 * picture).round().byte().numpy(), points


@pytest.fixture(scope="module")
def initial(truth):
    """Off by 5 degrees, 3 mm, 3 % of the distance, and with the mean shape."""
    wrong = euler_to_matrix(torch.tensor([[0.05, 0.07, 0.0]]))
    face = dataclasses.replace(
        truth,
        identity=torch.zeros_like(truth.identity),
        albedo=torch.zeros_like(truth.albedo),
        rotation=wrong @ truth.rotation,
        translation_mm=truth.translation_mm + torch.tensor([[2.5, -1.5, 30.0]]),
        lighting=None,
    )
    return InitialEstimate(face, (_FOCAL_PX,), InitialSigma(1.0, 0.1, 0.1, 5.0, 0.05))


def observed(points):
    return LandmarkObservation.independent(points, _SIGMA_PX)


def angle_deg(first, second):
    return float(torch.rad2deg(rotation_angle(first[0], second[0])))


def landmark_error_px(model, face, points):
    with torch.no_grad():
        v_obj = model.landmarks(model.shape(face.identity, face.expression), "478")
    v_cam = (v_obj[0] @ face.rotation[0].T + face.translation_mm[0]).double().numpy()
    middle = np.array([_WIDTH / 2, _HEIGHT / 2])
    pixels = middle + _FOCAL_PX * v_cam[:, :2] * [1.0, -1.0] / -v_cam[:, 2:]
    return float(np.linalg.norm(pixels - points, axis=1).mean())


def test_a_photo_without_landmarks_corrects_the_estimate(model, truth, photo, initial):
    pixels, points = photo
    before = {name: tensor.clone() for name, tensor in initial.parameters.tensors().items()}
    found = FaceFitter(model)([View(pixels, None, _FOCAL_PX)], _SETTINGS, initial)
    assert angle_deg(initial.parameters.rotation, truth.rotation) > 4.5
    assert angle_deg(found.parameters.rotation, truth.rotation) < 2.5
    assert landmark_error_px(model, found.parameters, points) < 0.4 * landmark_error_px(
        model, initial.parameters, points
    )
    assert np.isnan(found.reprojection_error_px[0]) and found.photometric_rmse[0] < 0.05
    assert all(torch.equal(before[name], getattr(initial.parameters, name)) for name in before), (
        "the estimate is left alone"
    )


def test_an_estimate_of_small_sigma_stays(model, photo, initial):
    sure = dataclasses.replace(initial, sigma=InitialSigma(1e-4, 1e-4, 1e-4, 1e-2, 1e-5))
    for points in (None, observed(photo[1])):
        face = FaceFitter(model)([View(photo[0], points, _FOCAL_PX)], _SETTINGS, sure).parameters
        assert angle_deg(face.rotation, initial.parameters.rotation) < 0.2
        torch.testing.assert_close(face.identity, initial.parameters.identity, atol=2e-2, rtol=0)


def test_an_unknown_lens_keeps_the_head_where_it_was_seen(model, photo, initial):
    settings = dataclasses.replace(_SETTINGS, levels=())
    found = FaceFitter(model)([View(photo[0], None)], settings, initial)
    assert found.focal_px[0] == pytest.approx(_FOCAL_PX * settings.assumed_distance_mm / 970.0, rel=1e-4)
    place = [
        f * s.translation_mm[0, :2] / s.translation_mm[0, 2]
        for f, s in ((_FOCAL_PX, initial.parameters), (found.focal_px[0], found.parameters))
    ]
    torch.testing.assert_close(*place, atol=1e-3, rtol=0)


def test_views_and_estimates_that_do_not_go_together_are_refused(model, photo, initial):
    bare = View(photo[0], None, _FOCAL_PX)
    with pytest.raises(ValueError, match="view 0 has no landmarks: such a fit needs an initial estimate"):
        FaceFitter(model)([bare], _SETTINGS)
    with pytest.raises(ValueError, match="the initial estimate is of 1 views, the fit of 2"):
        FaceFitter(model)([bare, bare], _SETTINGS, initial)


def test_a_fitter_is_used_again(model, photo):
    view, fitter = View(photo[0], observed(photo[1]), _FOCAL_PX), FaceFitter(model)
    first, again = (fitter([view], _SETTINGS).parameters for _ in range(2))
    assert torch.equal(first.identity, again.identity)
    assert torch.equal(first.lighting, again.lighting)


def test_a_fit_to_landmarks_alone_knows_no_light(model, photo):
    found = FaceFitter(model)(
        [View(photo[0], observed(photo[1]), _FOCAL_PX)], dataclasses.replace(_SETTINGS, levels=())
    )
    assert found.parameters.lighting is None and np.isnan(found.photometric_rmse[0])
    with pytest.raises(ValueError, match="light of these faces is not known"):
        _ = found.parameters.known_lighting


@pytest.mark.parametrize("quality", ["fast", "default", "best"])
def test_a_fit_with_an_estimate_takes_fewer_steps_on_the_same_pictures(quality):
    whole, started = FitSettings.of(quality), FitSettings.hybrid(quality)
    assert [level.size_px for level in started.levels] == [level.size_px for level in whole.levels]
    assert (
        all(0 < a.n_steps < b.n_steps for a, b in zip(started.levels, whole.levels, strict=True)) or quality == "best"
    )
    assert sum(level.n_steps for level in started.levels) < sum(level.n_steps for level in whole.levels)
    with pytest.raises(ValueError, match="quality must be fast, default or best, got 'hasty'"):
        FitSettings.hybrid("hasty")
