"""Losses of our depth network against plain loops."""

import math

import pytest
import torch

from losses.facial_depth import laplace_nll, normal_cosine, slope_l1, weighted_mean


@pytest.fixture
def maps():
    torch.manual_seed(0)
    weights = torch.rand(2, 1, 5, 7, dtype=torch.float64) * (torch.rand(2, 1, 5, 7) > 0.3)
    return torch.randn(2, 1, 5, 7, dtype=torch.float64), torch.randn(2, 1, 5, 7, dtype=torch.float64), weights


def test_means_are_those_of_a_loop(maps):
    values, _, weights = maps
    for b in range(2):
        pairs = list(zip(values[b].flatten().tolist(), weights[b].flatten().tolist(), strict=True))
        expected = sum(v * w for v, w in pairs) / sum(w for _, w in pairs)
        assert float(weighted_mean(values, weights)[b]) == pytest.approx(expected)
    assert weighted_mean(values, torch.zeros_like(weights)).tolist() == [0.0, 0.0]


def test_the_likelihood_is_best_at_the_mean_error(maps):
    difference, _, weights = maps
    best = weighted_mean(difference.abs(), weights).log()[:, None, None, None]
    at = laplace_nll(difference, best.expand_as(difference), weights)
    for step in (-0.1, 0.1):
        assert bool((laplace_nll(difference, (best + step).expand_as(difference), weights) > at).all())
    density = torch.distributions.Laplace(0.0, best.exp()).log_prob(difference)
    torch.testing.assert_close(at, -weighted_mean(density, weights) - math.log(2.0))


def test_directions_cost_nothing_if_equal_and_two_if_opposite(maps):
    _, _, weights = maps
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 5, 7, dtype=torch.float64), dim=1)
    torch.testing.assert_close(normal_cosine(normals, normals, weights), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(normal_cosine(normals, -normals, weights), torch.full((2,), 2.0, dtype=torch.float64))


def test_slopes_of_an_offset_cost_nothing_and_those_of_a_ramp_its_rise():
    weights = torch.ones(2, 1, 5, 7, dtype=torch.float64)
    flat = torch.full_like(weights, 3.0)
    assert slope_l1(flat, weights).tolist() == [0.0, 0.0]
    ramp = 0.5 * torch.arange(7.0, dtype=torch.float64).expand(2, 1, 5, 7)
    torch.testing.assert_close(slope_l1(ramp, weights), torch.full((2,), 0.5, dtype=torch.float64))


def test_a_step_onto_a_pixel_without_weight_is_no_slope():
    weights = torch.ones(1, 1, 4, 6)
    weights[..., 2:] = 0.0
    step = torch.zeros(1, 1, 4, 6)
    step[..., 2:] = 100.0
    assert slope_l1(step, weights).item() == 0.0


def test_gradients_are_right(maps):
    difference, log_scale, weights = maps
    assert torch.autograd.gradcheck(
        lambda d, s: laplace_nll(d, s, weights), (difference.requires_grad_(), log_scale.requires_grad_())
    )
    assert torch.autograd.gradcheck(lambda d: slope_l1(d, weights), (difference,))
