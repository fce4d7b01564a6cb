"""Fits with white light and under weak perspective, of rendered heads whose truth is known."""

import dataclasses

import numpy as np
import pytest
import torch

import bfm
from recon.camera import WeakPerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.detection.observation import LandmarkObservation
from recon.fitting import FaceFitter, FitSettings, InitialEstimate, InitialSigma, View
from recon.fitting.settings import Level
from recon.lighting import ambient, irradiance, lamps_to_sh
from recon.parameters import FaceParameters
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, rotation_angle

_SIZE, _FOCAL_PX = (200, 240), 270.0
"""At 300 mm: so near that perspective and weak perspective differ by many pixels."""
_SIGMA_PX = 6.0
_SETTINGS = FitSettings(levels=(Level(96, 2.0, 6), Level(128, 1.0, 5)))


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=20, n_albedo=20)


@pytest.fixture(scope="module")
def fitter(model):
    return FaceFitter(model)


def _face(model, lighting, camera_model):
    identity, albedo = torch.randn(2, 1, 20, generator=torch.Generator().manual_seed(4))
    return FaceParameters(
        0.8 * identity,
        torch.zeros(1, model.n_expression),
        0.5 * albedo,
        euler_to_matrix(torch.tensor([[0.05, 0.4, 0.05]])),
        torch.tensor([[5.0, 20.0, -300.0]]),
        lighting,
        camera_model,
    )


def _lighting(colour):
    lamp = lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.full((1, 1, 3), 1.2))
    return (ambient(torch.full((1, 3), 0.5)) + lamp) * torch.tensor(colour)


def _view(model, truth, focal_px=_FOCAL_PX):
    """A rendered head and its true landmarks."""
    camera = truth.camera(
        torch.tensor([[[focal_px, 0.0, _SIZE[1] / 2], [0.0, focal_px, _SIZE[0] / 2], [0.0, 0.0, 1.0]]])
    )
    vertices = model.shape(truth.identity, truth.expression)
    with torch.no_grad():
        mesh = Mesh.of(vertices, Topology.of(model.faces, model.n_vertices), model.albedo(truth.albedo))
        rendered = render(mesh, camera, truth.known_lighting, _SIZE)
    image = encode_srgb_unclamped(rendered.image, "linear") + 0.15 * (1.0 - rendered.mask)
    points = camera.to_pixels(camera.to_camera(model.landmarks(vertices, "478")))[0].double().numpy()
    pixels = (255.0 * image.clamp(0.0, 1.0)[0].permute(1, 2, 0)).round().byte().numpy()
    return View(pixels, LandmarkObservation.independent(points, _SIGMA_PX), focal_px)


def _shape_error_mm(model, face, truth):
    """Mean distance of the faces' vertices from the truth without rigid motion and size, which photos show elsewhere."""
    region = model.region("face")
    found, wanted = (model.shape(f.identity.float())[0, region].double() for f in (face, truth))
    found, wanted = ((x - x.mean(dim=0)) / (x - x.mean(dim=0)).norm() for x in (found, wanted))
    u, _, vt = torch.linalg.svd(found.T @ wanted)
    size_mm = float((model.mean_shape[region] - model.mean_shape[region].mean(dim=0)).norm())
    return size_mm * float((found @ (u @ vt) - wanted).norm(dim=1).mean())


def _angle_deg(face, truth):
    return float(torch.rad2deg(rotation_angle(face.rotation[0].double(), truth.rotation[0].double())))


def _tint(lighting):
    """How far channels are from each other, as a fraction of the light."""
    return float((lighting.amax(dim=2) - lighting.amin(dim=2)).max() / lighting[0, 0].mean())


@pytest.fixture(scope="module")
def under_white(model, fitter):
    truth = _face(model, _lighting([1.0, 1.0, 1.0]), "weak_perspective")
    settings = dataclasses.replace(_SETTINGS, camera="weak_perspective", white_light=True)
    return truth, fitter([_view(model, truth)], settings)


def test_pose_and_shape_of_a_head_under_weak_perspective_come_back(model, under_white):
    truth, found = under_white
    assert found.parameters.camera_model == "weak_perspective"
    assert _angle_deg(found.parameters, truth) < 2.0
    mean_face = dataclasses.replace(truth, identity=torch.zeros_like(truth.identity))
    assert _shape_error_mm(model, found.parameters, truth) < 0.5 * _shape_error_mm(model, mean_face, truth)
    assert found.reprojection_error_px[0] < 0.6
    assert found.photometric_rmse[0] < 0.03


def test_the_terms_of_the_formula_come_back(under_white):
    """Scale rho and offset t2d of Eq. 4, by the camera that the result describes."""
    truth, found = under_white
    focal, principal = torch.tensor([[found.focal_px[0]] * 2]), torch.tensor([found.principal_px[0]])
    cameras = [
        WeakPerspectiveCamera(f.rotation.float(), f.translation_mm.float(), focal, principal)
        for f in (found.parameters, truth)
    ]
    torch.testing.assert_close(cameras[0].scale_px_per_mm, cameras[1].scale_px_per_mm, rtol=0.03, atol=0.0)
    torch.testing.assert_close(cameras[0].offset_px, cameras[1].offset_px, rtol=0.0, atol=1.5)


def test_perspective_cannot_explain_such_a_picture(model, fitter, under_white):
    truth, found = under_white
    other = fitter([_view(model, truth)], _SETTINGS)
    assert other.parameters.camera_model == "perspective"
    assert other.reprojection_error_px[0] > 1.5 * found.reprojection_error_px[0]
    assert _shape_error_mm(model, other.parameters, truth) > 1.5 * _shape_error_mm(model, found.parameters, truth)


def test_an_unknown_focal_length_does_not_matter_under_weak_perspective(model, fitter, under_white):
    truth, known = under_white
    view = dataclasses.replace(_view(model, truth), focal_px=None)
    found = fitter([view], dataclasses.replace(_SETTINGS, camera="weak_perspective", white_light=True))
    assert _angle_deg(found.parameters, truth) < 2.0
    scales = [r.focal_px[0] / -float(r.parameters.translation_mm[0, 2]) for r in (known, found)]
    assert scales[1] == pytest.approx(scales[0], rel=0.01)


def test_white_light_is_recovered(under_white):
    truth, found = under_white
    lighting = found.parameters.known_lighting
    assert torch.equal(lighting, lighting[..., :1].expand_as(lighting))
    normals = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    normals = normals[normals[:, 2] > 0.2]
    shading = [irradiance(normals, light[0].float()).mean(dim=1) for light in (lighting, truth.known_lighting)]
    # Its level follows the exposure prior, since albedo is not known.
    shading = [values / values.mean() for values in shading]
    assert float((shading[0] - shading[1]).abs().mean()) < 0.08


def test_coloured_light_colours_a_free_light_and_not_a_white_one(model, fitter):
    truth = _face(model, _lighting([1.25, 1.0, 0.75]), "perspective")
    view = _view(model, truth)
    free, white = (fitter([view], dataclasses.replace(_SETTINGS, white_light=w)).parameters for w in (False, True))
    assert _tint(truth.known_lighting) > 0.2
    assert _tint(free.known_lighting) > 0.1
    assert _tint(white.known_lighting) == 0.0
    # What light may not explain, albedo must.
    mean = [model.albedo(f.albedo.float())[0, model.region("face")].mean(dim=0) for f in (white, free)]
    assert float(mean[0][0] / mean[0][2]) > float(mean[1][0] / mean[1][2])


def test_an_estimate_under_perspective_serves_a_fit_under_weak_perspective(model, fitter):
    truth = _face(model, _lighting([1.0, 1.0, 1.0]), "weak_perspective")
    wrong = euler_to_matrix(torch.tensor([[0.04, -0.05, 0.0]]))
    seen = truth.for_camera("perspective")
    tinted = _lighting([1.2, 1.0, 0.9])
    estimate = InitialEstimate(
        dataclasses.replace(seen, rotation=wrong @ seen.rotation, lighting=tinted),
        (_FOCAL_PX,),
        InitialSigma(1.0, 0.1, 0.1, 5.0, 0.05),
    )
    settings = dataclasses.replace(_SETTINGS, camera="weak_perspective", white_light=True)
    found = fitter([dataclasses.replace(_view(model, truth), landmarks=None)], settings, estimate)
    assert _angle_deg(found.parameters, truth) < 2.5
    assert _tint(found.parameters.known_lighting) == 0.0
    assert estimate.parameters.camera_model == "perspective" and torch.equal(estimate.parameters.lighting, tinted)


def test_the_scale_of_an_estimate_under_weak_perspective_stays_with_another_lens():
    truth = FaceParameters(
        torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2),
        euler_to_matrix(torch.tensor([[0.1, 0.4, 0.0]])), torch.tensor([[200.0, 50.0, -800.0]]), None, "weak_perspective",
    )  # fmt: skip
    estimate = InitialEstimate(truth, (900.0,), InitialSigma())
    points = 60.0 * torch.randn(9, 3, generator=torch.Generator().manual_seed(2))
    principal = torch.tensor([[120.0, 100.0]])
    before, after = (e.points_px(points, 0, principal) for e in (estimate, estimate.with_focal((1800.0,))))
    # t2d is twice as far from the principal point for the double focal length and depth: only the distance changes.
    np.testing.assert_allclose(before.numpy(), after.numpy(), atol=1e-2)
