"""Sums of linearised terms, and steps within bounds."""

import numpy as np
import pytest
import torch
from torch import inf

from recon.fitting.robust import cauchy, geman_mcclure
from recon.fitting.solver import LinearizedTerm, normal_equations, solve_bounded


def system(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    return rows.T @ rows, scale * torch.randn(5, generator=generator, dtype=torch.float64)


def test_terms_are_summed_at_their_columns():
    whole = LinearizedTerm(torch.tensor([[1.0, 2.0, 0.0]]).double(), torch.tensor([0.5]).double())
    part = LinearizedTerm(torch.tensor([[3.0, -1.0]]), torch.tensor([2.0]), torch.tensor([2, 0]))
    normal, right = normal_equations([whole, part.scaled(4.0)], 3)
    jacobian = np.array([[1.0, 2.0, 0.0], [-2.0, 0.0, 6.0]])
    np.testing.assert_allclose(normal, jacobian.T @ jacobian)
    np.testing.assert_allclose(right, -jacobian.T @ [0.5, 4.0])
    assert normal.dtype == torch.float64


def test_a_step_within_bounds_solves_the_equations():
    normal, right = system(0)
    step = solve_bounded(normal, right, torch.full((5,), -inf).double(), torch.full((5,), 100.0).double())
    torch.testing.assert_close(normal @ step, right)


def test_a_held_unknown_stays_at_its_bound_and_the_rest_is_optimal():
    normal, right = system(1, 10.0)
    position = int(torch.linalg.solve(normal, right).argmin())
    low = torch.full((5,), -inf).double()
    low[position] = -0.2
    step = solve_bounded(normal, right, low, torch.full((5,), inf).double())
    assert float(step[position]) == -0.2
    rest = torch.arange(5) != position
    torch.testing.assert_close((normal @ step)[rest], right[rest])


def test_every_unknown_may_have_bounds_of_its_own():
    right = torch.tensor([5.0, 5.0, -5.0]).double()
    low, high = torch.tensor([-1.5, -1.0, -3.5]).double(), torch.tensor([0.5, 4.0, 3.5]).double()
    torch.testing.assert_close(
        solve_bounded(torch.eye(3).double(), right, low, high), torch.tensor([0.5, 4.0, -3.5]).double()
    )


@pytest.mark.parametrize(("weight", "power"), [(geman_mcclure, 2), (cauchy, 1)])
def test_robust_weights_are_those_of_their_energy(weight, power):
    """Reweighted least squares: weight = energy'(r) / r, of r^2 / (1 + r^2 / s^2) and of log(1 + r^2 / s^2)."""
    r = torch.linspace(0.1, 4.0, 9, dtype=torch.float64, requires_grad=True)
    energy = 0.5 * (r**2 / (1.0 + r**2 / 4.0) if power == 2 else 4.0 * torch.log(1.0 + r**2 / 4.0))
    (slope,) = torch.autograd.grad(energy.sum(), r)
    torch.testing.assert_close(weight(r.detach() ** 2, 4.0), (slope / r).detach())
