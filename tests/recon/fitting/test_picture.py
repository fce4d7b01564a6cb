"""The picture stage on a rendered head whose truth is known."""

import dataclasses

import numpy as np
import pytest
import torch

import bfm
from recon.display import to_photo
from recon.fitting.picture import FaceState, PictureFitter, PictureView
from recon.fitting.settings import FitSettings
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
    picture = to_photo(drawn.image, "linear").clamp(0.0, 1.0)
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


def test_improving_lowers_the_residual_and_is_deterministic(fitter, truth, view):
    start = dataclasses.replace(
        truth,
        albedo=torch.zeros_like(truth.albedo),
        translation_mm=truth.translation_mm + torch.tensor([1.5, -1.0, 4.0]),
    )
    before = fitter.residual(start, view, 0)
    first, second = (fitter.improve(start, [view], FitSettings(), 12) for _ in range(2))
    assert fitter.residual(first, view, 0) < 0.7 * before
    for field in dataclasses.fields(first):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name)), field.name
    assert torch.equal(start.albedo, torch.zeros_like(start.albedo)), "the start was edited"


def test_rotation_is_moved_by_the_picture(fitter, truth, view):
    turn = euler_to_matrix(torch.tensor([[0.0, 0.03, 0.0]]))
    start = dataclasses.replace(truth, rotation=turn @ truth.rotation)
    found = fitter.improve(start, [view], FitSettings(), 15)
    assert not torch.equal(found.rotation, start.rotation)
    assert np.linalg.norm((found.rotation - truth.rotation).numpy()) < np.linalg.norm(
        (start.rotation - truth.rotation).numpy()
    )


def test_no_steps_leave_the_state_as_it_is(fitter, truth, view):
    assert fitter.improve(truth, [view], FitSettings(), 0) is truth
