"""Landmarks as rows of the normal equations."""

import dataclasses

import pytest
import torch

import bfm
from recon.camera import CAMERAS
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import point_jacobian, rotation_gradient
from recon.fitting.state import LandmarkTensors
from recon.fitting.terms.landmark import DISTANCES, THICKNESSES, landmark_rows, whitened_rows
from recon.rotation import euler_to_matrix

_ROTATION = euler_to_matrix(torch.tensor([[0.1, 0.4, -0.1]], dtype=torch.float64))[0]
_SHIFT = torch.tensor([3.0, 12.0, -800.0], dtype=torch.float64)


@pytest.mark.parametrize("kind", CAMERAS.values())
def test_the_jacobian_of_points_equals_autograd(kind):
    generator = torch.Generator().manual_seed(5)
    mean, basis = (torch.randn(7, 3, *k, generator=generator, dtype=torch.float64) for k in ((), (5,)))
    layout = ParameterLayout(3, 0, 2, 1, 27, 1)

    def pixels(x):
        coefficients = torch.cat([x[layout.identity], x[layout.expression(0)]])
        turned = (40.0 * mean + basis @ coefficients) @ _ROTATION.T
        turned = turned @ torch.linalg.matrix_exp(rotation_gradient(x[layout.rotation(0)][None])[0].T).T
        place = _SHIFT + x[layout.translation(0)]
        focal_px = 420.0 * torch.exp(x[layout.focal(0)])
        camera = kind(_ROTATION[None], place[None], focal_px.expand(1, 2), torch.zeros(1, 2).double())
        v_cam = turned + place
        return camera.to_pixels(v_cam[None])[0], turned, v_cam, camera

    x = 0.3 * torch.randn(layout.n_total, generator=generator, dtype=torch.float64)
    x[layout.rotation(0)] = x[layout.translation(0)] = 0.0
    _, turned, v_cam, camera = pixels(x)
    found = point_jacobian(turned, v_cam, basis, camera, layout)
    wanted = torch.autograd.functional.jacobian(lambda z: pixels(z)[0], x)
    assert torch.allclose(found, wanted, atol=1e-9)


def test_an_opening_counts_by_its_own_precision_and_not_where_the_pair_lies():
    jacobian = torch.eye(4, dtype=torch.float64).view(2, 2, 4)
    gaps = torch.tensor([[1.0, 0.5], [1.0, 0.2]], dtype=torch.float64)
    precision = torch.tensor([0.04, 0.01], dtype=torch.float64)
    rows, residuals = landmark_rows(jacobian, gaps, precision, ((0, 1),), opening_sharpness=3.0)
    assert rows.shape == (6, 4)
    assert residuals.shape == (6,)
    weight = 9.0 * 0.01
    root = (weight / (1.0 + 0.3**2 * weight / 9.0) ** 2) ** 0.5
    assert torch.allclose(residuals[4:], root * torch.tensor([0.0, 0.3], dtype=torch.float64))
    assert torch.allclose(rows[5], root * torch.tensor([0.0, 1.0, 0.0, -1.0], dtype=torch.float64))
    moved = landmark_rows(jacobian, gaps + 2.0, precision, ((0, 1),), opening_sharpness=3.0)[1]
    assert torch.allclose(moved[4:], residuals[4:])
    assert len(landmark_rows(jacobian, gaps, precision, ((0, 1),), opening_sharpness=0.0)[1]) == 4


def _errors(n: int, n_modes: int = 0, bias: float = 0.0) -> LandmarkTensors:
    generator = torch.Generator().manual_seed(2)
    axes = torch.linalg.qr(torch.randn(2 * n, max(n_modes, 1), generator=generator, dtype=torch.float64))[0].T
    return LandmarkTensors(
        points_px=torch.zeros(n, 2).double(),
        sigma_px=0.5 + torch.rand(n, generator=generator, dtype=torch.float64),
        modes=axes[:n_modes].reshape(n_modes, n, 2),
        mode_sigma=torch.linspace(1.0, 6.0, n_modes, dtype=torch.float64),
        bias=bias * torch.ones(n, 2).double(),
        calibrated=True,
    )


def test_rows_are_whitened_by_the_covariance():
    n, d = 6, 4
    view = _errors(n, 3, 1e-4)
    jacobian = torch.randn(n, 2, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    residual = 1e-4 * torch.randn(n, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    rows, values = whitened_rows(jacobian, residual, view)
    own = torch.diag(view.sigma_px.repeat_interleave(2))
    axes = view.modes.flatten(1)
    covariance = own @ (torch.eye(2 * n).double() + axes.T @ torch.diag(view.mode_sigma**2) @ axes) @ own
    inverse = torch.linalg.inv(covariance)
    flat = jacobian.flatten(0, 1)
    offset = residual.flatten() + own @ view.bias.flatten()
    assert torch.allclose(rows.T @ rows, flat.T @ inverse @ flat, rtol=1e-6)
    assert torch.allclose(rows.T @ values, flat.T @ inverse @ offset, rtol=1e-6)


def test_an_outlier_counts_less_than_its_square_but_a_shared_error_is_no_outlier():
    jacobian, view = torch.ones(4, 2, 1, dtype=torch.float64), _errors(4)
    near, far = (whitened_rows(jacobian, torch.full((4, 2), g).double(), view)[0] for g in (0.1, 30.0))
    assert float(far.abs().max()) < 0.02 * float(near.abs().max())
    together = dataclasses.replace(
        view,
        sigma_px=torch.ones(4).double(),
        modes=torch.full((1, 4, 2), 8.0**-0.5).double(),
        mode_sigma=torch.tensor([40.0]).double(),
    )
    residual = torch.full((4, 2), 10.0).double()
    rows, shared = whitened_rows(torch.eye(8).double().view(4, 2, 8), residual, together)
    assert float(shared.abs().max()) < 0.5
    assert float((rows.T @ rows).trace()) > 4.0, "of 7 directions that the error is not shared in"
    alone = dataclasses.replace(together, mode_sigma=torch.zeros(1).double())
    weight = whitened_rows(torch.eye(8).double().view(4, 2, 8), residual, alone)[0].diagonal()
    assert float(weight.max()) < 0.1


def test_points_that_are_not_known_say_nothing():
    view = dataclasses.replace(_errors(3), sigma_px=torch.tensor([1.0, torch.inf, 1.0]).double())
    rows, values = whitened_rows(torch.ones(3, 2, 2).double(), torch.ones(3, 2).double(), view)
    assert not rows[2:4].any() and not values[2:4].any() and bool(rows[:2].all())


@pytest.mark.parametrize("name", ["68", "478"])
def test_openings_are_openings_of_the_open_model(name):
    model = bfm.load("open", n_identity=2, n_albedo=2)
    points = model.landmarks(model.shape(), name)[0]
    opened = torch.zeros(1, model.n_expression)
    for action in ("jawOpen", "eyeWideLeft", "eyeWideRight"):
        opened[0, model.expression_names.index(action)] = 0.5
    wide = model.landmarks(model.shape(None, opened), name)[0]
    for upper, lower in set(DISTANCES[name]) - set(THICKNESSES[name]):
        gap = points[upper, 1] - points[lower, 1]
        assert float(gap) > 0.3
        assert float(wide[upper, 1] - wide[lower, 1]) > float(gap) + 0.3
    assert set(THICKNESSES[name]) < set(DISTANCES[name])
    for upper, lower in THICKNESSES[name]:
        assert 4.0 < float(points[upper, 1] - points[lower, 1]) < 14.0
