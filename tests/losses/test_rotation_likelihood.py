"""The likelihood of rotations: a Gaussian in the tangent space."""

import math

import roma
import scipy.stats
import torch

from losses.rotation_likelihood import rotation_nll, tangent_error


def _roots(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(count, 3, 3, generator=generator, dtype=torch.float64).tril()
    root.diagonal(dim1=1, dim2=2).copy_(2.0 + torch.rand(count, 3, generator=generator, dtype=torch.float64))
    return root


def test_it_is_the_normal_density_of_the_rotation_vector():
    w = torch.tensor([[0.3, -0.2, 0.5], [-0.1, 1.0, 0.4]], dtype=torch.float64)
    predicted = roma.random_rotmat(2, dtype=torch.float64)
    root = _roots()
    target = roma.rotvec_to_rotmat(w) @ predicted
    torch.testing.assert_close(tangent_error(predicted, target), w)
    found = rotation_nll(predicted, target, root)
    for k in range(2):
        covariance = torch.linalg.inv(root[k] @ root[k].T).numpy()
        wanted = -scipy.stats.multivariate_normal(cov=covariance).logpdf(w[k].numpy()) - 1.5 * math.log(2.0 * math.pi)
        assert abs(float(found[k]) - wanted) < 1e-9


def test_it_is_least_for_the_true_rotation_and_the_true_covariance():
    torch.manual_seed(0)
    root = _roots(1, 3)
    w = torch.linalg.solve_triangular(root[0].T, torch.randn(4000, 3, dtype=torch.float64).T, upper=True).T
    base = roma.random_rotmat(1, dtype=torch.float64).expand(4000, 3, 3)
    target = roma.rotvec_to_rotmat(w) @ base

    def mean(scale, turn):
        off = roma.rotvec_to_rotmat(torch.tensor([turn, 0.0, 0.0], dtype=torch.float64))
        return float(rotation_nll(off @ base, target, (scale * root).expand(4000, 3, 3)).mean())

    assert mean(1.0, 0.0) < min(mean(0.8, 0.0), mean(1.25, 0.0), mean(1.0, 0.1), mean(1.0, -0.1))


def test_gradients_are_right_and_finite_where_nothing_is_wrong():
    predicted = roma.random_rotmat(2, dtype=torch.float64).requires_grad_()
    target, root = roma.random_rotmat(2, dtype=torch.float64), _roots().requires_grad_()
    assert torch.autograd.gradcheck(rotation_nll, (predicted, target, root))
    same = roma.random_rotmat(2, dtype=torch.float64).requires_grad_()
    rotation_nll(same, same.detach(), root).sum().backward()
    assert bool(torch.isfinite(same.grad).all())
