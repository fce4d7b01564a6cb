"""The photometric stage on a rendered head whose truth is known."""

import dataclasses

import pytest
import torch
from point_parts import independent

import bfm
from recon.color import encode_srgb_unclamped
from recon.fitting.fit_model import FitModel
from recon.fitting.lighting_estimate import estimate_lighting
from recon.fitting.settings import FitSettings, Level
from recon.fitting.stages import faces_in_views, photometric_stage
from recon.fitting.state import FitState, ViewTensors
from recon.fitting.terms.expression_prior import expression_widths
from recon.fitting.terms.lighting_prior import negative_light
from recon.fitting.terms.photometric import photometric_rmse
from recon.lighting import ambient, lamps_to_sh
from recon.parameters import FaceParameters
from recon.rotation import euler_to_matrix

_SIZE = 96


@pytest.fixture(scope="module")
def model():
    return FitModel.of(bfm.load("open", n_identity=20, n_albedo=20), "478")


@pytest.fixture(scope="module")
def truth(model):
    generator = torch.Generator().manual_seed(4)
    lamp = lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.full((1, 1, 3), 1.2))
    expression = torch.zeros(1, model.whole.n_expression)
    expression[0, model.whole.expression_names.index("jawOpen")] = 0.3
    identity, albedo = (0.6 * torch.randn(1, 20, generator=generator) for _ in range(2))
    return FitState.of(
        FaceParameters(
            identity,
            expression,
            albedo,
            euler_to_matrix(torch.tensor([[0.1, 0.3, 0.05]])),
            torch.tensor([[0.0, 15.0, -900.0]]),
            ambient(torch.full((1, 3), 0.5)) + lamp,
        )
    )


def face_of(model, state, view):
    return faces_in_views(model, state, [view])[0]


@pytest.fixture(scope="module")
def view(model, truth):
    blank = ViewTensors(
        independent(torch.zeros(478, 2), 1.0),
        torch.full((1, 2), 420.0),
        torch.tensor([[_SIZE / 2, _SIZE / 2 - 3.0]]),
        visibility=torch.ones(478),
        photo=torch.zeros(1, 3, _SIZE, _SIZE),
        mask=torch.ones(1, 1, _SIZE, _SIZE),
    )
    with torch.no_grad():
        face = face_of(model, truth, blank)
        photo = encode_srgb_unclamped(face.rendered.image, "linear").clamp(0.0, 1.0)
        points = face.to_pixels(model.front.landmarks(face.v_cam[None], "478")[0])
    return dataclasses.replace(blank, photo=photo, landmarks=independent(points, 1.0))


def fitted(model, state, views, n_steps, settings=None, blur_px=1.0, first=False):
    settings = settings or FitSettings()
    widths = torch.from_numpy(settings.expression_mean * expression_widths(model.whole.expression_names))
    widths = widths.expand(len(views), -1)
    return photometric_stage(model, state, views, settings, Level(_SIZE, blur_px, n_steps), widths, anneal_albedo=first)


def rmse(model, state, view):
    with torch.no_grad():
        return photometric_rmse(face_of(model, state, view), model.vertex_confidence)


def with_face(state, **changes):
    return dataclasses.replace(state, parameters=dataclasses.replace(state.parameters, **changes))


def test_lighting_is_recovered_from_shape_and_albedo(model, truth, view):
    dark = face_of(model, with_face(truth, lighting=None), view)
    found = truth.with_lighting(estimate_lighting(dark, model.vertex_confidence)[None])
    with torch.no_grad():
        shown, wanted = (face_of(model, state, view).rendered for state in (found, truth))
    inside = wanted.covered.expand(-1, 3, -1, -1)
    assert float((shown.image - wanted.image)[inside].abs().mean()) < 0.02
    assert rmse(model, found, view) < 0.03


def _off(truth):
    """The truth moved and turned, with the albedo and shape of the average person."""
    turn = euler_to_matrix(torch.tensor([[0.03, -0.05, 0.02]])).double()
    return with_face(
        truth,
        identity=torch.zeros_like(truth.parameters.identity),
        albedo=torch.zeros_like(truth.parameters.albedo),
        rotation=turn @ truth.parameters.rotation,
        translation_mm=truth.parameters.translation_mm + torch.tensor([1.5, -1.0, 4.0]),
    )


def _shape_error_mm(model, view, one, other):
    """Mean distance of the faces' vertices in the camera frame, depth apart."""
    with torch.no_grad():
        error = face_of(model, one, view).v_cam - face_of(model, other, view).v_cam
        return float((error - error.mean(dim=0)).norm(dim=1)[model.vertex_confidence > 0].mean())


def test_the_photo_corrects_landmarks_that_are_off(model, truth, view):
    generator = torch.Generator().manual_seed(1)
    drift = torch.tensor([[1.5, -1.0]]) + 0.5 * torch.randn(478, 2, generator=generator)
    seen = dataclasses.replace(view, landmarks=independent(view.landmarks.points_px + drift, 10.0**0.5))
    start = _off(truth)
    found = fitted(model, fitted(model, start, [seen], 8, blur_px=2.0, first=True), [seen], 10, blur_px=0.7)
    assert rmse(model, found, seen) < 0.3 * rmse(model, start, seen)
    assert _shape_error_mm(model, view, found, truth) < 0.5 * _shape_error_mm(model, view, start, truth)
    turns = [
        torch.linalg.matrix_norm(state.parameters.rotation - truth.parameters.rotation) for state in (found, start)
    ]
    assert turns[0] < 0.4 * turns[1]


def test_a_fit_is_deterministic_and_leaves_its_start_alone(model, truth, view):
    start = _off(truth)
    before = {name: tensor.clone() for name, tensor in start.parameters.tensors().items()}
    first, second = (fitted(model, start, [view], 3) for _ in range(2))
    for name, value in before.items():
        assert torch.equal(getattr(first.parameters, name), getattr(second.parameters, name)), name
        assert torch.equal(getattr(start.parameters, name), value), f"{name} of the start was edited"


def test_two_views_share_identity_and_albedo(model, truth, view):
    start = _off(truth)
    own = {
        name: torch.cat([getattr(start.parameters, name)] * 2)
        for name in ("expression", "rotation", "translation_mm", "lighting")
    }
    found = fitted(model, FitState.of(dataclasses.replace(start.parameters, **own)), [view, view], 4).parameters
    assert found.identity.shape == start.parameters.identity.shape and found.rotation.shape == (2, 3, 3)
    torch.testing.assert_close(found.expression[0], found.expression[1], atol=2e-3, rtol=0.0)
    torch.testing.assert_close(found.lighting[0], found.lighting[1], atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize(("sigma", "moves"), [(0.0, False), (0.2, True)])
def test_only_an_unknown_focal_length_is_changed(model, truth, view, sigma, moves):
    wrong = dataclasses.replace(view, focal_px=view.focal_px * 1.2, focal_sigma=sigma)
    found = fitted(model, truth, [wrong], 3)
    assert (abs(float(found.log_focal[0])) > 1e-3) is moves


def test_bounds_of_expressions_are_kept(model, truth, view):
    found = fitted(model, _off(truth), [view], 3).parameters.expression
    assert float(found.min()) >= 0.0 and float(found.max()) <= 1.0


def test_masked_pixels_do_not_move_anything(model, truth, view):
    covered = dataclasses.replace(view, mask=torch.zeros_like(view.mask))
    other = dataclasses.replace(covered, photo=1.0 - covered.photo)
    first, second = (fitted(model, _off(truth), [one], 2) for one in (covered, other))
    assert torch.equal(first.parameters.identity, second.parameters.identity)


def test_hair_on_the_forehead_does_not_move_anything(model, truth, view):
    front = model.front
    forehead = front.region("forehead") & (front.mean_shape[:, 1] > 45.0)
    with torch.no_grad():
        ids = face_of(model, truth, view).rendered.triangle_ids
    high = forehead[front.faces].all(dim=1)[ids.clamp_min(0).long()] & (ids >= 0)
    assert int(high.sum()) > 100
    fringe = dataclasses.replace(view, photo=torch.where(high[:, None], 0.05, view.photo))
    first, second = (fitted(model, truth, [one], 2).parameters for one in (view, fringe))
    assert torch.equal(first.identity, second.identity)
    assert torch.equal(first.lighting, second.lighting)


def test_no_steps_leave_the_state_as_it_is(model, truth, view):
    assert fitted(model, truth, [view], 0) is truth


def test_no_albedo_beyond_its_bounds_and_light_follows(model, truth, view):
    """A photo far brighter than any skin: albedo stops at its bound, and light makes up for the rest."""
    bright = dataclasses.replace(view, photo=(2.2 * view.photo).clamp(0.0, 0.97))
    start = with_face(truth, albedo=torch.zeros_like(truth.parameters.albedo))
    found = fitted(model, start, [bright], 12, FitSettings(exposure_sigma=1e-3, albedo_precision=1e-3), first=True)
    assert float(found.parameters.albedo.abs().max()) <= 3.0 + 1e-5
    assert rmse(model, found, bright) < 0.5 * rmse(model, start, bright)


def test_a_light_that_would_be_negative_behind_is_pushed_back():
    lighting = torch.zeros(9, 3).double()
    lighting[0], lighting[1:4] = 1.0, torch.tensor([[0.2], [1.6], [0.0]])
    row, excess = negative_light(lighting)
    step = -row * excess / (row @ row)
    after = (lighting.flatten() + step).view(9, 3).mean(dim=1)
    assert float(excess) > 0.0
    assert float(after[1:4].norm() / after[0]) == pytest.approx(1.3, rel=0.02)
    smaller = torch.cat([lighting[:1], 0.5 * lighting[1:]])
    assert not negative_light(smaller)[0].any()


def test_strength_of_that_push_does_not_depend_on_exposure():
    lighting = torch.zeros(9, 3).double()
    lighting[0], lighting[2] = 1.0, 1.6
    torch.testing.assert_close(negative_light(lighting)[1], negative_light(3.0 * lighting)[1])
