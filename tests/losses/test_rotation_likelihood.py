"""The likelihood of rotation errors."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from losses.rotation_likelihood import rotation_nll


def _root(seed: int) -> torch.Tensor:
    root = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tril()
    diagonal = root.diagonal(dim1=-2, dim2=-1)
    diagonal.copy_(1.0 + diagonal.abs())
    return root


def test_it_is_the_density_of_a_gaussian():
    root = _root(0)
    error = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for k, found in enumerate(rotation_nll(error, root).tolist()):
        covariance = np.linalg.inv((root[k].T @ root[k]).numpy())
        wanted = -multivariate_normal(np.zeros(3), covariance).logpdf(error[k].numpy()) - 1.5 * math.log(2.0 * math.pi)
        assert found == pytest.approx(wanted, abs=1e-9)


def test_its_mean_is_least_at_the_true_covariance():
    root = _root(2)[:1]
    noise = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    errors = torch.linalg.solve_triangular(root[0], noise.T, upper=False).T
    true = float(rotation_nll(errors, root.expand(4000, 3, 3)).mean())
    for change in (0.8, 1.25):
        assert float(rotation_nll(errors, change * root.expand(4000, 3, 3)).mean()) > true
    turned = root[0] + torch.tensor([[0.0, 0, 0], [0.6, 0, 0], [0, 0, 0]])
    assert float(rotation_nll(errors, turned.expand(4000, 3, 3)).mean()) > true
