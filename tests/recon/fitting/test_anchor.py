"""Starts that are believed: what they pull at, what they leave alone, and what they refuse."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from recon.fitting.anchor import Start, Trust, shape_and_pose
from recon.fitting.points import PointModel, PointView, fit_points, project, rotation_of
from recon.fitting.state import FaceState
from recon.fitting.unknowns import Layout
from recon.rotation import euler_to_matrix, rotation_angle

N_ID, N_EXP, N_VIEWS = 3, 2, 2


def make_state(seed: int = 0) -> FaceState:
    generator = torch.Generator().manual_seed(seed)
    angles = 0.12 * torch.randn(N_VIEWS, 3, generator=generator)
    shift = torch.tensor([[0.0, 0.0, -900.0], [200.0, -100.0, -1300.0]])
    return FaceState(
        torch.randn(1, N_ID, generator=generator),
        torch.zeros(1, 4),
        torch.rand(N_VIEWS, N_EXP, generator=generator),
        euler_to_matrix(angles),
        shift + torch.randn(N_VIEWS, 3, generator=generator),
        torch.zeros(N_VIEWS, 9, 3),
        torch.zeros(N_VIEWS),
    )


LAYOUT = Layout(N_ID, 4, N_EXP, N_VIEWS, 27, 1)


def test_one_step_leads_back_to_the_start():
    start = Start(make_state(0), (1000.0, 1500.0), Trust(0.5, 0.1, 0.2, 5.0, 0.05))
    now = make_state(1)
    identity, expression, rotation, translation_mm = shape_and_pose(now)
    weights, pull = start.equations(LAYOUT, identity, expression, rotation, translation_mm)
    held = weights > 0.0
    step = np.zeros(LAYOUT.n_all)
    step[held] = pull[held] / weights[held]
    np.testing.assert_allclose(identity + step[LAYOUT.identity], start.state.identity[0].numpy(), atol=1e-6)
    for view in range(N_VIEWS):
        pose = step[LAYOUT.pose(view)]
        np.testing.assert_allclose(
            expression[view] + step[LAYOUT.expression(view)], start.state.expression[view].numpy(), atol=1e-6
        )
        np.testing.assert_allclose(
            rotation_of(pose[:3]) @ rotation[view], start.state.rotation[view].double().numpy(), atol=1e-5
        )
        np.testing.assert_allclose(translation_mm[view] + pose[3:], start.state.translation_mm[view].numpy(), atol=1e-3)
    free = np.concatenate([np.arange(LAYOUT.n_all)[w] for w in (LAYOUT.albedo, LAYOUT.light(0), LAYOUT.zoom(1))])
    assert not weights[free].any() and not pull[free].any()


def test_weights_are_inverse_variances_and_infinity_is_free():
    state = make_state()
    weights, _ = Start(state, (1e3, 1e3), Trust(0.5, 0.1, 0.2, 5.0, 0.05)).equations(LAYOUT, *shape_and_pose(state))
    np.testing.assert_allclose(weights[LAYOUT.identity], 4.0)
    np.testing.assert_allclose(weights[LAYOUT.expression(1)], 100.0)
    np.testing.assert_allclose(weights[LAYOUT.pose(1)][:5], [25.0, 25.0, 25.0, 0.04, 0.04])
    depth_mm = -float(state.translation_mm[1, 2])
    np.testing.assert_allclose(weights[LAYOUT.pose(1)][5], (0.05 * depth_mm) ** -2.0)
    weights, pull = Start(state, (1e3, 1e3), Trust()).equations(LAYOUT, *shape_and_pose(make_state(1)))
    assert not weights.any() and not pull.any()


def test_another_lens_shows_the_same_picture():
    """Up to perspective, which is small for a small head."""
    start = Start(make_state(), (1000.0, 1500.0), Trust())
    longer = start.seen_through((2000.0, 1200.0))
    shape = 0.5 * torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
    for view in range(N_VIEWS):
        seen = []
        for s in (start, longer):
            v_cam = shape @ s.state.rotation[view].T + s.state.translation_mm[view]
            seen.append(s.focal_px[view] * v_cam[:, :2] / v_cam[:, 2:])
        torch.testing.assert_close(*seen, atol=0.012, rtol=0)
    assert torch.equal(start.state.translation_mm, make_state().translation_mm), "the old start is left alone"


def test_impossible_starts_are_refused():
    state = make_state()
    with pytest.raises(ValueError, match="a start of 2 views has 1 focal lengths"):
        Start(state, (1000.0,), Trust())
    with pytest.raises(ValueError, match="trust in a start's rotation_rad must be positive, got 0"):
        Trust(rotation_rad=0.0)
    with pytest.raises(ValueError, match="head behind the camera"):
        Start(dataclasses.replace(state, translation_mm=-state.translation_mm), (1e3, 1e3), Trust())
    with pytest.raises(ValueError, match="start's identity holds nan or inf"):
        Start(dataclasses.replace(state, identity=state.identity * math.nan), (1e3, 1e3), Trust())


def test_points_move_a_start_as_far_as_it_is_doubted():
    rng = np.random.default_rng(4)
    model = PointModel(
        60.0 * rng.normal(size=(40, 3)),
        4.0 * rng.normal(size=(40, 3, N_ID)),
        4.0 * rng.normal(size=(40, 3, N_EXP)),
        np.tile([0.0, 0.0, 1.0], (40, 1)),
        True,
    )
    truth = make_state(3)
    identity, expression, rotation, translation_mm = shape_and_pose(truth)
    views = []
    for view in range(N_VIEWS):
        empty = PointView(np.zeros((40, 2)), np.ones(40), 1000.0, np.array([320.0, 240.0]), 150.0)
        v_obj = model.mean + model.identity @ identity + model.expression @ expression[view]
        points = project(v_obj @ rotation[view].T + translation_mm[view], empty)
        views.append(dataclasses.replace(empty, points_pix=points))
    off = dataclasses.replace(
        truth, identity=truth.identity + 1.0, rotation=euler_to_matrix(torch.tensor([0.0, 0.2, 0.0])) @ truth.rotation
    )

    def fitted(trust: Trust) -> tuple[float, float]:
        found = fit_points(model, views, 0.02, 0.01, 5.0, 40, Start(off, (1e3, 1e3), trust))
        turn = rotation_angle(torch.from_numpy(found.rotation[0]), truth.rotation[0].double())
        return float(np.abs(found.identity - identity).mean()), float(turn)

    loose, tight = fitted(Trust()), fitted(Trust(1e-4, 1e-4, 1e-4))
    assert loose[0] < 0.1 and loose[1] < 0.02
    assert tight[0] == pytest.approx(1.0, abs=0.02) and tight[1] == pytest.approx(0.2, abs=0.01)
