"""The prior of lighting as rows of the normal equations."""

import pytest
import torch

from recon.fitting.layout import ParameterLayout
from recon.fitting.state import FitState
from recon.fitting.terms.lighting_prior import LightingPrior
from recon.lighting import ambient
from recon.parameters import FaceParameters


def _state(lighting):
    zero = torch.zeros(len(lighting), 1).double()
    eye = torch.eye(3).double().expand(len(lighting), 3, 3)
    place = torch.tensor([[0.0, 0.0, -900.0]]).double().expand(len(lighting), 3)
    return FitState.of(FaceParameters(zero[:1], zero, zero[:1], eye, place, lighting))


@pytest.mark.parametrize("n_lighting", [27, 9])
def test_rows_say_how_residuals_change_with_the_unknowns(n_lighting):
    generator = torch.Generator().manual_seed(0)
    prior = LightingPrior(0.15, 0.3, (0.5, 0.4, 0.25), band0_mean=3.0, physical=False)
    layout = ParameterLayout(1, 1, 1, 2, n_lighting, 1)
    lighting = ambient(torch.ones(2, 3).double()) + 0.1 * torch.randn(2, 9, 1, generator=generator).double()
    step = torch.zeros(layout.n_total).double()
    moved = lighting.clone()
    for view in range(2):
        change = torch.randn(n_lighting, generator=generator).double()
        step[layout.lighting(view)] = change
        moved[view] += change.view(9, n_lighting // 9)
    before, after = (prior.linearize(_state(light), layout) for light in (lighting, moved))
    torch.testing.assert_close(before.residual + before.jacobian @ step, after.residual)
    assert float((after.residual - before.residual).norm()) > 1.0
