"""A Gaussian prior of SH lighting: neutral tint, small quadratic band, unit irradiance over pi on a surface that faces the
camera; and a hinge on the ratio of the first band to the mean."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import FitState
from recon.lighting import irradiance_basis

EXPOSURE_NORMAL = (0.0, 0.25, 1.0)
"""Normal of the surface whose exposure is known: towards the camera and a little upwards, as most of a face's skin."""
_MAX_BAND1_RATIO = 1.3
"""Bound of |L1| / L0. One lamp in the dark has sqrt(3), beyond which radiance is negative behind it; 1.3 keeps order-2 fits,
which ring, from going negative. Set by looking at photos."""
_DIRECTED_SIGMA = 0.03
"""How far beyond that a light may be, as a fraction of its mean."""
_LEAST_LEVEL = 0.1


@dataclasses.dataclass(frozen=True)
class LightingPrior:
    """A prior of lighting coefficients. Widths are fractions of the light's mean radiance coefficient.

    Attributes:
        exposure_sigma: how far a photo's exposure is from showing the face at its own albedo. Without it light and dark
            albedo would trade freely.
        tint_sigma: of the light's colour apart from its mean.
        band_sigma: of its constant, linear and quadratic parts; infinity leaves one free.
        band0_mean: mean radiance coefficient of the constant part that its width is about, which then stands for the
            light's own in all widths; ``None`` for the light's own so far.
        physical: whether light that would be negative on one side is pushed back.
    """

    exposure_sigma: float
    tint_sigma: float
    band_sigma: tuple[float, float, float]
    band0_mean: float | None = None
    physical: bool = True

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """Rows of all views."""
        jacobians, residuals = [], []
        for view, lighting in enumerate(state.parameters.known_lighting):
            rows, residual = self.rows(lighting)
            jacobian = rows.new_zeros(len(rows), layout.n_total)
            # White light is one number a coefficient: its derivative is the sum over the channels.
            jacobian[:, layout.lighting(view)] = rows if layout.n_lighting == 27 else rows.unflatten(1, (9, 3)).sum(-1)
            jacobians.append(jacobian)
            residuals.append(residual)
        return LinearizedTerm(torch.cat(jacobians), torch.cat(residuals))

    def rows(self, lighting: Float[Tensor, "9 3"]) -> tuple[Float[Tensor, "r 27"], Float[Tensor, " r"]]:
        """Weighted rows and residuals of one light."""
        level = max(float(lighting[0].mean()), _LEAST_LEVEL) if self.band0_mean is None else self.band0_mean
        eye3, eye9 = torch.eye(3).to(lighting), torch.eye(9).to(lighting)
        bands = lighting.new_tensor([self.band_sigma[0]] + [self.band_sigma[1]] * 3 + [self.band_sigma[2]] * 5)
        smooth = torch.kron(torch.diag(1.0 / (bands * level)), eye3)
        origin = torch.zeros_like(lighting)
        origin[0] = 0.0 if self.band0_mean is None else self.band0_mean
        tint = torch.kron(eye9, eye3 - 1.0 / 3.0) / (self.tint_sigma * level)
        exposure = exposure_irradiance_row().to(lighting)
        exposure_rows = exposure.repeat_interleave(3)[None] / (3.0 * self.exposure_sigma)
        flat = lighting.flatten()
        rows = [tint, smooth, exposure_rows]
        residuals = [
            tint @ flat,
            smooth @ (flat - origin.flatten()),
            exposure_rows @ flat - 1.0 / self.exposure_sigma,
        ]
        if self.physical:
            row, excess = negative_light(lighting)
            rows.append(row[None])
            residuals.append(excess[None])
        return torch.cat(rows), torch.cat(residuals)


def exposure_irradiance_row() -> Float[Tensor, " 9"]:
    """What takes light to the irradiance over pi of a surface that faces the camera a little upwards, float64."""
    towards = torch.nn.functional.normalize(torch.tensor([EXPOSURE_NORMAL], dtype=torch.float64), dim=1)
    return irradiance_basis(towards)[0]


def negative_light(lighting: Float[Tensor, "9 3"]) -> tuple[Float[Tensor, " 27"], Float[Tensor, ""]]:
    """Row and residual that push a light whose rear side would be darker than black back to a possible one."""
    grey = lighting.mean(dim=1)
    length = grey[1:4].norm()
    excess = length - _MAX_BAND1_RATIO * grey[0]
    if float(excess) <= 0.0:
        return lighting.new_zeros(27), lighting.new_zeros(())
    by_band = torch.cat([lighting.new_tensor([-_MAX_BAND1_RATIO]), grey[1:4] / length, lighting.new_zeros(5)])
    sigma = _DIRECTED_SIGMA * grey[0].clamp_min(_LEAST_LEVEL)
    return by_band.repeat_interleave(3) / (3.0 * sigma), excess / sigma
