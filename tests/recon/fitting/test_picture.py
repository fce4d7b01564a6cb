"""The picture stage on a rendered head whose truth is known."""

import dataclasses

import numpy as np
import pytest
import torch

import bfm
from recon.color import encode_srgb_unclamped
from recon.fitting.picture import PictureFitter
from recon.fitting.priors import negative_light
from recon.fitting.settings import FitSettings
from recon.fitting.state import FaceState, PictureView
from recon.lighting import ambient, lamps_to_sh
from recon.rotation import euler_to_matrix

_SIZE = 96


@pytest.fixture(scope="module")
def fitter():
    return PictureFitter(bfm.load("open", n_identity=20, n_albedo=20), "478")


@pytest.fixture(scope="module")
def truth(fitter):
    generator = torch.Generator().manual_seed(4)
    lamp = lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.full((1, 1, 3), 1.2))
    expression = torch.zeros(1, fitter.model.n_expression)
    expression[0, fitter.model.expression_names.index("jawOpen")] = 0.3
    return FaceState(
        0.6 * torch.randn(1, fitter.model.n_identity, generator=generator),
        0.6 * torch.randn(1, fitter.model.n_albedo, generator=generator),
        expression,
        euler_to_matrix(torch.tensor([[0.1, 0.3, 0.05]])),
        torch.tensor([[0.0, 15.0, -900.0]]),
        ambient(torch.full((1, 3), 0.5)) + lamp,
        torch.zeros(1),
    )


@pytest.fixture(scope="module")
def view(fitter, truth):
    blank = PictureView(
        torch.zeros(1, 3, _SIZE, _SIZE),
        torch.ones(1, 1, _SIZE, _SIZE),
        torch.zeros(1, 478, 2),
        torch.ones(1, 478),
        torch.full((1, 2), 420.0),
        torch.tensor([[_SIZE / 2, _SIZE / 2 - 3.0]]),
    )
    with torch.no_grad():
        drawn, points = fitter.draw(truth, blank, 0)
    picture = encode_srgb_unclamped(drawn.image, "linear").clamp(0.0, 1.0)
    return dataclasses.replace(blank, picture=picture, points_pix=points)


def test_lighting_is_recovered_from_shape_and_albedo(fitter, truth, view):
    dark = dataclasses.replace(truth, lighting=torch.zeros_like(truth.lighting))
    found = fitter.estimate_lighting(dark, [view])
    with torch.no_grad():
        shown = fitter.draw(found, view, 0)[0].image
        wanted = fitter.draw(truth, view, 0)[0].image
    inside = fitter.draw(truth, view, 0)[0].covered.expand(-1, 3, -1, -1)
    assert float((shown - wanted)[inside].abs().mean()) < 0.02
    assert fitter.residual(found, view, 0) < 0.03


def _start(truth):
    """The truth moved and turned, with the paint and shape of the average person."""
    turn = euler_to_matrix(torch.tensor([[0.03, -0.05, 0.02]]))
    return dataclasses.replace(
        truth,
        identity=torch.zeros_like(truth.identity),
        albedo=torch.zeros_like(truth.albedo),
        rotation=turn @ truth.rotation,
        translation_mm=truth.translation_mm + torch.tensor([1.5, -1.0, 4.0]),
    )


def _shape_gap_mm(fitter, one, other):
    """Mean distance of the faces' vertices in the camera frame, depth apart."""
    with torch.no_grad():
        first, second = (
            fitter.model.shape(s.identity, s.expression)[0] @ s.rotation[0].T + s.translation_mm[0]
            for s in (one, other)
        )
        gap = first - second
        return float((gap - gap.mean(dim=0)).norm(dim=1)[fitter._vertex_trust > 0].mean())


def test_the_picture_corrects_landmarks_that_are_off(fitter, truth, view):
    generator = torch.Generator().manual_seed(1)
    drift = torch.tensor([[1.5, -1.0]]) + 0.5 * torch.randn(1, 478, 2, generator=generator)
    seen = dataclasses.replace(view, points_pix=view.points_pix + drift, point_weights=torch.full((1, 478), 0.1))
    start = _start(truth)
    found = fitter.improve(fitter.improve(start, [seen], FitSettings(), 8, 2.0), [seen], FitSettings(), 10, 0.7)
    assert fitter.residual(found, seen, 0) < 0.3 * fitter.residual(start, seen, 0)
    assert _shape_gap_mm(fitter, found, truth) < 0.5 * _shape_gap_mm(fitter, start, truth)
    assert torch.linalg.matrix_norm(found.rotation - truth.rotation) < 0.4 * torch.linalg.matrix_norm(
        start.rotation - truth.rotation
    )


def test_improving_is_deterministic_and_leaves_its_start_alone(fitter, truth, view):
    start = _start(truth)
    before = {field.name: getattr(start, field.name).clone() for field in dataclasses.fields(start)}
    first, second = (fitter.improve(start, [view], FitSettings(), 3) for _ in range(2))
    for name, value in before.items():
        assert torch.equal(getattr(first, name), getattr(second, name)), name
        assert torch.equal(getattr(start, name), value), f"{name} of the start was edited"


def test_two_views_share_identity_and_albedo(fitter, truth, view):
    start = _start(truth)
    both = FaceState(
        start.identity,
        start.albedo,
        start.expression.repeat(2, 1),
        start.rotation.repeat(2, 1, 1),
        start.translation_mm.repeat(2, 1),
        start.lighting.repeat(2, 1, 1),
        start.log_zoom.repeat(2),
    )
    found = fitter.improve(both, [view, view], FitSettings(), 4)
    assert found.identity.shape == start.identity.shape and found.rotation.shape == (2, 3, 3)
    torch.testing.assert_close(found.expression[0], found.expression[1], atol=2e-3, rtol=0.0)
    torch.testing.assert_close(found.lighting[0], found.lighting[1], atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize(("sigma", "moves"), [(0.0, False), (0.2, True)])
def test_only_an_unknown_focal_length_is_changed(fitter, truth, view, sigma, moves):
    guess = dataclasses.replace(view, focal_px=view.focal_px * 1.2, focal_sigma=sigma)
    found = fitter.improve(truth, [guess], FitSettings(), 3)
    assert (abs(float(found.log_zoom[0])) > 1e-3) is moves


def test_bounds_of_expressions_are_kept(fitter, truth, view):
    found = fitter.improve(_start(truth), [view], FitSettings(), 3)
    assert float(found.expression.min()) >= 0.0 and float(found.expression.max()) <= 1.0


def test_covered_pixels_do_not_move_anything(fitter, truth, view):
    covered = dataclasses.replace(view, trust=torch.zeros_like(view.trust))
    other = dataclasses.replace(covered, picture=1.0 - covered.picture)
    first, second = (fitter.improve(_start(truth), [one], FitSettings(), 2) for one in (covered, other))
    assert torch.equal(first.identity, second.identity)


def test_hair_on_the_forehead_does_not_move_anything(fitter, truth, view):
    forehead = fitter.model.region("forehead") & (fitter.model.mean_shape[:, 1] > 45.0)
    with torch.no_grad():
        ids = fitter.draw(truth, view, 0)[0].triangle_ids
    high = forehead[fitter.model.faces].all(dim=1)[ids.clamp_min(0).long()] & (ids >= 0)
    assert int(high.sum()) > 100
    fringe = dataclasses.replace(view, picture=torch.where(high[:, None], 0.05, view.picture))
    first, second = (fitter.improve(truth, [one], FitSettings(), 2) for one in (view, fringe))
    assert torch.equal(first.identity, second.identity)
    assert torch.equal(first.lighting, second.lighting)


def test_no_steps_leave_the_state_as_it_is(fitter, truth, view):
    assert fitter.improve(truth, [view], FitSettings(), 0) is truth


def test_no_paint_beyond_its_bounds_and_light_follows(fitter, truth, view):
    """A photo far brighter than any skin: paint stops at its bound, and light makes up for the rest."""
    bright = dataclasses.replace(view, picture=(2.2 * view.picture).clamp(0.0, 0.97))
    start = dataclasses.replace(truth, albedo=torch.zeros_like(truth.albedo))
    settings = FitSettings(exposure_sigma=1e-3, albedo_weight=1e-3)
    found = fitter.improve(start, [bright], settings, 12)
    assert float(found.albedo.abs().max()) <= 3.0 + 1e-5
    assert fitter.residual(found, bright, 0) < 0.5 * fitter.residual(start, bright, 0)


def test_a_light_that_would_be_negative_behind_is_pushed_back():
    light = np.zeros((9, 3))
    light[0], light[1:4] = 1.0, [[0.2], [1.6], [0.0]]
    row, excess = negative_light(light)
    step = -row * excess / (row @ row)
    after = (light.ravel() + step).reshape(9, 3).mean(axis=1)
    assert excess > 0.0
    assert np.linalg.norm(after[1:4]) / after[0] == pytest.approx(1.3, rel=0.02)
    assert not np.any(negative_light(0.5 * light * [[2.0], *[[1.0]] * 8])[0])


def test_strength_of_that_push_does_not_depend_on_exposure():
    light = np.zeros((9, 3))
    light[0], light[2] = 1.0, 1.6
    assert negative_light(light)[1] == pytest.approx(negative_light(3.0 * light)[1])
