"""Initial estimates: what they pull at, what they leave alone, and what they refuse."""

import dataclasses
import math

import pytest
import roma
import torch
from point_parts import independent
from test_landmark_stage import landmarks, view_of  # noqa: F401

from recon.fitting import FitSettings, InitialEstimate, InitialSigma
from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import normal_equations
from recon.fitting.stages import landmark_stage
from recon.fitting.state import FitState, StepLimits
from recon.parameters import FaceParameters
from recon.rotation import euler_to_matrix, rotation_angle

N_IDENTITY, N_EXPRESSION, N_VIEWS = 3, 2, 2
LAYOUT = ParameterLayout(N_IDENTITY, 4, N_EXPRESSION, N_VIEWS, 27, 1)


def make_face(seed: int = 0) -> FaceParameters:
    generator = torch.Generator().manual_seed(seed)
    angles = 0.12 * torch.randn(N_VIEWS, 3, generator=generator)
    translation_mm = torch.tensor([[0.0, 0.0, -900.0], [200.0, -100.0, -1300.0]])
    return FaceParameters(
        torch.randn(1, N_IDENTITY, generator=generator),
        torch.rand(N_VIEWS, N_EXPRESSION, generator=generator),
        torch.zeros(1, 4),
        euler_to_matrix(angles),
        translation_mm + torch.randn(N_VIEWS, 3, generator=generator),
        torch.zeros(N_VIEWS, 9, 3),
    )


def test_two_steps_lead_back_to_the_estimate():
    """The first finds the ray on which the head is seen, the second the rotation that the estimate has on it."""
    estimate = InitialEstimate(make_face(0), (1000.0, 1500.0), InitialSigma(0.5, 0.1, 0.2, 5.0, 0.05))
    start = now = FitState.of(make_face(1))
    for _ in range(2):
        normal, right = normal_equations([estimate.linearize(now, LAYOUT)], LAYOUT.n_total)
        held = normal.diagonal() > 0.0
        step = torch.where(held, right / normal.diagonal(), 0.0)
        now = now.moved(LAYOUT, step, StepLimits(rotation_rad=3.0), unit_expression=False)
    found = now.parameters
    for name in ("identity", "expression", "rotation", "translation_mm"):
        torch.testing.assert_close(
            getattr(found, name), getattr(estimate.parameters, name).double(), atol=1e-4, rtol=0, msg=name
        )
    assert torch.equal(found.albedo, start.parameters.albedo) and torch.equal(found.lighting, start.parameters.lighting)
    for where in (LAYOUT.albedo, LAYOUT.lighting(0), LAYOUT.focal(1)):
        assert not held[where].any()


def test_weights_are_inverse_variances_and_infinity_is_free():
    face = make_face()
    rows = InitialEstimate(face, (1e3, 1e3), InitialSigma(0.5, 0.1, 0.2, 5.0, 0.05)).linearize(
        FitState.of(face), LAYOUT
    )
    weights = rows.jacobian.diagonal() ** 2
    torch.testing.assert_close(weights[LAYOUT.identity], torch.full((3,), 4.0).double())
    torch.testing.assert_close(weights[LAYOUT.expression(1)], torch.full((2,), 100.0).double())
    torch.testing.assert_close(weights[LAYOUT.rotation(1)], torch.full((3,), 25.0).double())
    depth_mm = -float(face.translation_mm[1, 2])
    wanted = torch.tensor([0.04, 0.04, (0.05 * depth_mm) ** -2.0]).double()
    torch.testing.assert_close(weights[LAYOUT.translation(1)], wanted)
    free = InitialEstimate(face, (1e3, 1e3), InitialSigma()).linearize(FitState.of(make_face(1)), LAYOUT)
    assert not free.jacobian.any() and not free.residual.any()


def test_another_lens_shows_the_same_picture():
    """Up to perspective, which is small for a small head."""
    estimate = InitialEstimate(make_face(), (1000.0, 1500.0), InitialSigma())
    longer = estimate.with_focal((2000.0, 1200.0))
    shape = 0.5 * torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
    for view in range(N_VIEWS):
        first, second = (e.points_px(shape, view, torch.zeros(1, 2)) for e in (estimate, longer))
        torch.testing.assert_close(first, second, atol=0.012, rtol=0)
    assert torch.equal(estimate.parameters.translation_mm, make_face().translation_mm), "the old estimate is left alone"


def test_impossible_estimates_are_refused():
    face = make_face()
    with pytest.raises(ValueError, match="an initial estimate of 2 views has 1 focal lengths"):
        InitialEstimate(face, (1000.0,), InitialSigma())
    with pytest.raises(ValueError, match="sigma of an initial estimate's rotation_rad must be positive, got 0"):
        InitialSigma(rotation_rad=0.0)
    with pytest.raises(ValueError, match="head behind the camera"):
        InitialEstimate(dataclasses.replace(face, translation_mm=-face.translation_mm), (1e3, 1e3), InitialSigma())
    with pytest.raises(ValueError, match="estimate's identity holds nan or inf"):
        InitialEstimate(dataclasses.replace(face, identity=face.identity * math.nan), (1e3, 1e3), InitialSigma())


def test_landmarks_move_an_estimate_as_far_as_its_sigma_allows(landmarks):  # noqa: F811
    identity, rotvec, translation = [0.9, -0.7, 0.4, -0.3], [0.1, 0.3, 0.0], [5.0, 0.0, -900.0]
    view, rotation = view_of(landmarks, identity, [0.3, 0.0, 0.2], rotvec, translation)
    off = euler_to_matrix(torch.tensor([[0.0, 0.2, 0.0]])).double()
    estimate = FaceParameters(
        torch.tensor([identity]).double() + 1.0, torch.tensor([[0.3, 0.0, 0.2]]).double(), torch.zeros(1, 0).double(),
        off @ rotation[None], torch.tensor([translation]).double(), None,
    )  # fmt: skip

    def fitted(sigma: InitialSigma) -> tuple[float, float]:
        views, settings = (
            [dataclasses.replace(view, landmarks=independent(view.landmarks.points_px, 3.0))],
            FitSettings(identity_precision=0.01),
        )
        found = landmark_stage(
            landmarks, FitState.of(estimate), views, settings, torch.full((1, 3), 5.0).double(),
            InitialEstimate(estimate, (900.0,), sigma),
        ).parameters  # fmt: skip
        shape_error = (found.identity[0] - torch.tensor(identity)).abs().mean()
        return float(shape_error), float(rotation_angle(found.rotation[0], rotation))

    loose, tight = fitted(InitialSigma()), fitted(InitialSigma(1e-4, 1e-4, 1e-4))
    assert loose[0] < 0.1 and loose[1] < 0.02
    assert tight[0] == pytest.approx(1.0, abs=0.02) and tight[1] == pytest.approx(0.2, abs=0.01)


def test_a_rotation_step_is_cut_to_its_limit():
    now = FitState.of(make_face(1))
    step = torch.zeros(LAYOUT.n_total).double()
    step[LAYOUT.rotation(0)] = torch.tensor([0.0, 2.0, 0.0]).double()
    found = now.moved(LAYOUT, step, StepLimits(rotation_rad=0.2), unit_expression=True).parameters
    turn = found.rotation[0] @ now.parameters.rotation[0].T
    torch.testing.assert_close(roma.rotmat_to_rotvec(turn), torch.tensor([0.0, 0.2, 0.0]).double(), atol=1e-6, rtol=0)
    assert torch.allclose(found.rotation[1], now.parameters.rotation[1])
