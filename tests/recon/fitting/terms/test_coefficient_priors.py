"""The prior of shape: its derivatives, and that it leaves the size of a head alone."""

import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from recon.fitting import FitSettings
from recon.fitting.landmark_model import LandmarkModel, pose_from_points, size_slope
from recon.fitting.layout import ParameterLayout
from recon.fitting.stages import landmark_stage
from recon.fitting.state import FitState, ViewTensors
from recon.fitting.terms.coefficient_priors import CoefficientPrior
from recon.parameters import FaceParameters

sys.path.append(str(Path(__file__).parents[1]))
from point_parts import independent

N_POINTS, N_IDENTITY, N_EXPRESSION = 90, 30, 2


def size_of(points):
    return (points - points.mean(dim=0)).square().sum().sqrt()


@pytest.fixture
def landmarks():
    """A head whose first component is size, 5 % a standard deviation, and whose others are bumps."""
    rng = np.random.default_rng(7)
    angles = rng.uniform(-1.2, 1.2, (N_POINTS, 2))
    unit = np.stack([np.sin(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 0]) * np.cos(angles[:, 1])], axis=1)
    mean = unit * [70.0, 100.0, 60.0]
    identity = rng.normal(0.0, 1.2, (N_POINTS, 3, N_IDENTITY))
    identity[..., 0] = 0.05 * (mean - mean.mean(axis=0))
    basis = np.concatenate([identity, rng.normal(0.0, 4.0, (N_POINTS, 3, N_EXPRESSION))], axis=2)
    mean, basis, unit = (torch.from_numpy(part) for part in (mean, basis, unit))
    return LandmarkModel(mean, basis, unit, N_IDENTITY, size_slope(mean, basis[..., :N_IDENTITY]), False)


def test_slope_is_the_relative_change_of_size(landmarks):
    for component in (0, 3, 29):
        grown = size_of(landmarks.mean + 1e-3 * landmarks.basis[..., component]) / size_of(landmarks.mean)
        assert float(landmarks.size_slope[component]) == pytest.approx(1e3 * (float(grown) - 1.0), rel=1e-2, abs=1e-5)
    assert float(landmarks.size_slope[0]) == pytest.approx(0.05, abs=0.01)


def state_of(identity, expression):
    n_views = len(expression)
    return FitState.of(
        FaceParameters(
            identity, expression, torch.zeros(1, 3).double(), torch.eye(3).double().expand(n_views, 3, 3),
            torch.tensor([[0.0, 0.0, -900.0]]).double().expand(n_views, 3), torch.zeros(n_views, 9, 3).double(),
        )
    )  # fmt: skip


def test_rows_are_derivatives_of_the_residuals():
    """The slow twin is autograd: two views, unequal sizes."""
    generator = torch.Generator().manual_seed(1)
    layout = ParameterLayout(4, 3, 2, 2, 27, 1)
    identity, slope = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (1, 1))
    expression = torch.rand(2, 2, generator=generator, dtype=torch.float64)
    sigma, weight, slope = torch.tensor([[0.4, 0.7]]).double().expand(2, 2), 2.0, 0.05 * slope[0]

    def residuals(step):
        moved = identity[0] + step[layout.identity]
        size = 1.0 + slope @ moved
        faces = [(expression[k] + step[layout.expression(k)]) / sigma[k] for k in range(2)]
        return torch.cat([weight**0.5 * moved, *faces]) / size

    rows = CoefficientPrior(weight, sigma, slope).linearize(state_of(identity, expression), layout)
    zero = torch.zeros(layout.n_total, dtype=torch.float64)
    torch.testing.assert_close(rows.residual, residuals(zero))
    torch.testing.assert_close(rows.jacobian, torch.autograd.functional.jacobian(residuals, zero))


def test_sparse_rows_pull_as_the_exponential_prior_does():
    """The slow twin is autograd of the energy: w / mean, and quadratic below a small weight."""
    generator = torch.Generator().manual_seed(2)
    layout = ParameterLayout(4, 3, 3, 2, 27, 1)
    identity = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    expression = torch.tensor([[0.0, 0.02, 0.9], [0.4, 1.0, 0.05]], dtype=torch.float64)
    mean = torch.tensor([[0.16, 0.1, 0.3]]).double().expand(2, 3)
    no_size = torch.zeros(4).double()

    def energy(step):
        weights = torch.stack([expression[k] + step[layout.expression(k)] for k in range(2)])
        knee = 0.05
        each = torch.where(weights > knee, (weights - 0.5 * knee) / mean, 0.5 * weights**2 / (mean * knee))
        return 0.5 * 2.0 * (identity[0] + step[layout.identity]).square().sum() + each.sum()

    rows = CoefficientPrior(2.0, mean, no_size, sparse=True).linearize(state_of(identity, expression), layout)
    zero = torch.zeros(layout.n_total, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(zero), zero)
    torch.testing.assert_close(rows.jacobian.T @ rows.residual, gradient)


def test_one_whole_weight_is_likelier_than_two_halves_when_sparse():
    """Two weights that do the same, one of them twice as much: the solver's steps end at that one alone."""
    layout, wanted = ParameterLayout(0, 0, 2, 1), torch.tensor([1.0, 0.5]).double()

    def found(sparse):
        prior = CoefficientPrior(1.0, torch.full((1, 2), 0.2).double(), torch.zeros(0).double(), sparse)
        expression = torch.full((1, 2), 0.5).double()
        for _ in range(60):
            state = state_of(torch.zeros(1, 0).double(), expression)
            rows = prior.linearize(state, layout)
            jacobian = rows.jacobian[:, layout.expression(0)]
            seen = 20.0 * wanted  # 20 (wanted . w - 1) has a deviation of one
            normal = jacobian.T @ jacobian + torch.outer(seen, seen)
            expression = torch.linalg.solve(normal, 20.0 * seen)[None]
        return expression[0]

    whole, spread = found(True), found(False)
    assert whole[0] > 0.97 and whole[1] < 0.04
    assert spread[0] < 0.85 and spread[1] > 0.35


def test_a_head_far_from_any_plausible_size_does_not_divide_by_zero():
    state = state_of(torch.tensor([[1.0]]).double(), torch.zeros(1, 0).double())
    prior = CoefficientPrior(1.0, torch.zeros(1, 0).double(), torch.tensor([-1.0]).double())
    rows = prior.linearize(state, ParameterLayout(1, 3, 0, 1))
    assert bool(torch.isfinite(rows.jacobian).all()) and bool(torch.isfinite(rows.residual).all())


def test_heads_of_average_size_are_found_at_average_size(landmarks):
    """Photos do not show size, so whatever else a face has, it must not make the head small."""
    rng = np.random.default_rng(11)
    principal_px = torch.tensor([[200.0, 150.0]]).double()
    sizes = []
    for _ in range(12):
        identity = rng.normal(size=N_IDENTITY)
        identity[0] = 0.0
        rotation = roma.rotvec_to_rotmat(torch.from_numpy(rng.normal(0.0, 0.2, 3)))
        v_obj = landmarks.points_obj(torch.from_numpy(identity), torch.zeros(N_EXPRESSION).double())
        v_cam = v_obj @ rotation.T + torch.tensor([0.0, 0.0, -1000.0])
        points = principal_px + 1500.0 * v_cam[:, :2] * torch.tensor([1.0, -1.0]) / -v_cam[:, 2:]
        points = points + torch.from_numpy(rng.normal(0.0, 2.0, (N_POINTS, 2)))
        view = ViewTensors(independent(points, 3.6), torch.full((1, 2), 1500.0).double(), principal_px)
        pose = pose_from_points(landmarks, view)
        start = FaceParameters(
            torch.zeros(1, N_IDENTITY).double(), torch.zeros(1, N_EXPRESSION).double(), torch.zeros(1, 0).double(),
            pose[0][None], pose[1][None], None,
        )  # fmt: skip
        settings = FitSettings(identity_precision=1.0)
        widths = torch.full((1, N_EXPRESSION), 0.4).double()
        found = landmark_stage(landmarks, FitState.of(start), [view], settings, widths)
        sizes.append(float(landmarks.size_slope @ found.parameters.identity[0]))
    assert abs(np.mean(sizes)) < 0.012
