"""Likelihood of points with a sigma of their own."""

import pytest
import torch

from losses.landmark_likelihood import gaussian_landmark_nll


def test_it_is_the_likelihood_of_a_gaussian_up_to_a_constant():
    generator = torch.Generator().manual_seed(1)
    difference = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    log_sigma = 0.3 * torch.randn(2, 5, generator=generator, dtype=torch.float64)
    found = gaussian_landmark_nll(difference, log_sigma)
    normal = torch.distributions.Normal(0.0, log_sigma.exp()[..., None])
    wanted = -normal.log_prob(difference).sum(dim=-1)
    constant = 1.5 * torch.log(torch.tensor(2.0 * torch.pi, dtype=torch.float64))
    assert torch.allclose(found, wanted - constant)


@pytest.mark.parametrize("size", [0.02, 1.7])
def test_the_best_sigma_is_the_error(size):
    difference = torch.full((1, 1, 2), size)
    log_sigma = torch.tensor([[size]]).log().requires_grad_()
    gaussian_landmark_nll(difference, log_sigma).sum().backward()
    assert abs(float(log_sigma.grad)) < 1e-5
