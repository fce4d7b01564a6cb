"""Eyes and teeth take the photo's colours, and nothing else that may stand in their place."""

import numpy as np
import pytest
import torch

import bfm
from bfm.model import MorphableModel
from recon.texturing.eyes_teeth import eye_log_residual, has_irises, tooth_log_residual


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=2, n_albedo=2)


def everywhere(model, colour):
    return torch.tensor(colour).expand(model.n_vertices, 3)


def test_the_open_model_has_irises(model, tiny_data):
    assert has_irises(model) and not has_irises(MorphableModel(tiny_data))
    iris, pupil, eyes = (model.region(name) for name in ("irises", "pupils", "eyes"))
    assert not bool((iris & pupil).any()) and not bool(((iris | pupil) & ~eyes).any())
    # A ring: every vertex of the pupil lies nearer to the axis than the iris does on average.
    left = model.region("left_eye")
    axis = model.mean_shape[left & pupil].mean(dim=0)
    away = [torch.linalg.norm(model.mean_shape[left & part] - axis, dim=1) for part in (pupil, iris)]
    assert float(away[0].max()) < float(away[1].mean()) < 6.0


def test_irises_take_one_colour_and_the_rest_of_the_head_none(model):
    wanted = [0.3, 0.5, 0.7]
    residual = everywhere(model, wanted) + 0.02 * torch.randn(
        model.n_vertices, 3, generator=torch.Generator().manual_seed(1)
    )
    # A highlight on a third of the iris, and lids over a half of it.
    iris = model.region("irises").nonzero()[:, 0]
    residual = residual.index_add(0, iris[::3], torch.full((len(iris[::3]), 3), 2.0))
    visible = model.mean_shape[:, 1] < 3.0
    before = residual.clone()
    found = eye_log_residual(model, residual, visible)
    assert torch.equal(residual, before)
    assert torch.allclose(found[iris], everywhere(model, wanted)[iris], atol=0.06)
    assert float(found[iris].std(dim=0).max()) < 1e-6
    off = ~model.region("eyes") | model.region("pupils")
    assert not bool(found[off].any())


def test_colours_of_eyes_keep_within_bounds(model):
    found = eye_log_residual(model, everywhere(model, [3.0, -4.0, 3.0]), torch.ones(model.n_vertices, dtype=torch.bool))
    iris, white = model.region("irises"), model.region("eyes") & ~model.region("irises") & ~model.region("pupils")
    assert float(found[iris].mean(dim=1).abs().max()) < 1.3 and float(found[white].mean(dim=1).abs().max()) < 0.4
    assert float((found[white][:, 0] - found[white][:, 1]).abs().max()) < 0.2


def test_hidden_eyes_keep_their_paint(model):
    visible = ~model.region("eyes")
    assert not bool(eye_log_residual(model, everywhere(model, [1.0, 1.0, 1.0]), visible).any())


def test_teeth_keep_their_detail_and_lips_before_them_do_not_count():
    n = 400
    tooth = torch.tensor([0.1, 0.12, 0.08])
    residual = tooth.expand(n, 3).clone()
    line = torch.arange(n) % 20 == 0
    residual[line] -= 0.3  # the gaps between teeth
    lip, cavity = slice(0, 60), slice(60, 120)
    residual[lip] += torch.tensor([0.35, -0.25, -0.25])
    residual[cavity] -= 2.0
    visible = torch.ones(n, dtype=torch.bool)
    visible[120:160] = False
    residual[120:160] = 5.0
    found = tooth_log_residual(residual, visible)
    seen = torch.arange(n) >= 160
    assert torch.allclose(found[seen & ~line], tooth.expand(n, 3)[seen & ~line], atol=1e-5)
    assert float((found[seen & line] - tooth).mean()) == pytest.approx(-0.3, abs=0.02)
    for elsewhere in (lip, cavity, slice(120, 160)):
        assert torch.allclose(found[elsewhere], tooth.expand(n, 3)[elsewhere], atol=0.02)


def test_the_shade_of_a_lip_on_bright_teeth_is_no_paint():
    """Bright enough for the tooth of another photo, and far darker than the teeth of this one."""
    residual = torch.full((300, 3), 0.3)
    residual[:60] = -0.55
    found = tooth_log_residual(residual, torch.ones(300, dtype=torch.bool))
    assert torch.allclose(found[:60], found[60:120], atol=1e-5)


def test_a_mouth_without_teeth_in_sight_keeps_the_models():
    assert not bool(tooth_log_residual(torch.full((300, 3), -2.0), torch.ones(300, dtype=torch.bool)).any())
    assert not bool(tooth_log_residual(torch.full((300, 3), 0.2), torch.zeros(300, dtype=torch.bool)).any())


def test_teeth_keep_within_bounds():
    found = tooth_log_residual(
        torch.full((300, 3), 1.5) + torch.tensor([0.0, 0.0, 0.6]), torch.ones(300, dtype=torch.bool)
    )
    assert float(found.mean(dim=1).max()) < 0.4
    assert np.abs((found - found.mean(dim=1, keepdim=True)).numpy()).max() < 0.12
