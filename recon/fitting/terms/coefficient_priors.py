"""Priors of coefficients: Gaussian, but for expression weights in [0, 1] in fits of photos, whose prior is sparse. That of the shape does not favour small heads: its residual is c_i / (sigma_i s(c)) with
the relative size s(c) = 1 + size_slope c, so that it does not depend on the overall scale.

Coefficients are millimetres over standard deviations, while a photo shows shape up to size. With the sum of squares for a
prior, any shape gets cheaper when the whole head shrinks and every deviation with it: the most probable head then comes
out smaller than the average one, by about its own squared length times the share that one coefficient adds to the size.
On photos, on rendered heads of another model and on rendered heads of this one it was about 4 %. Here deviations are counted in shares
of the head's size instead, so that size is left to what the prior says of size itself.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import FitState

_MIN_RELATIVE_SIZE = 0.5
_SMALL_WEIGHT = 0.05
"""Of an expression: below it the sparse prior is a Gaussian (Huber 1964), above it grows with the weight itself."""


@dataclasses.dataclass(frozen=True, eq=False)
class CoefficientPrior:
    """N(0, 1) of identity and N(0, width) of expressions, in shares of the head's size.

    A face makes few expressions at a time, some of them fully. A Gaussian prior has it the other way round: it shuts an eye by half a blink
    and half a downward look, because two halves are likelier than one whole. With ``sparse`` the weights have an exponential
    prior, under which the way that takes the least of all weights is the likeliest. It enters as a Gaussian that touches it at
    the present weight of a head of average size (iteratively reweighted least squares, Holland and Welsch 1977).

    Attributes:
        identity_precision: strength of the identity prior.
        expression_width: ``(V, Ke)`` standard deviations, or the means of the exponential prior, of expressions.
        size_slope: ``(Ki,)`` of :func:`recon.fitting.landmark_model.size_slope`.
        sparse: the expression prior is exponential.
    """

    identity_precision: float
    expression_width: Float[Tensor, "v ke"]
    size_slope: Float[Tensor, " ki"]
    sparse: bool = False

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """A row a coefficient. The residual is value / (sigma size), and size depends on the identity."""
        identity = state.parameters.identity[0]
        size = (1.0 + self.size_slope @ identity).clamp_min(_MIN_RELATIVE_SIZE)
        values = torch.cat([identity, state.parameters.expression.flatten()])
        expression_sigma = self._sigma_at(state.parameters.expression).flatten()
        sigma = torch.cat([torch.full_like(identity, self.identity_precision**-0.5), expression_sigma])
        columns = torch.cat(
            [torch.arange(layout.n_identity)]
            + [torch.arange(layout.n_total)[layout.expression(view)] for view in range(layout.n_views)]
        )
        jacobian = values.new_zeros(len(values), layout.n_total)
        jacobian[torch.arange(len(values)), columns] = 1.0 / (sigma * size)
        jacobian[:, layout.identity] -= torch.outer(values / (sigma * size**2), self.size_slope)
        return LinearizedTerm(jacobian, values / (sigma * size))

    def _sigma_at(self, expression: Float[Tensor, "v ke"]) -> Float[Tensor, "v ke"]:
        """Standard deviations of the Gaussian that stands for the prior at these weights."""
        width = self.expression_width.expand_as(expression)
        return (width * expression.abs().clamp_min(_SMALL_WEIGHT)).sqrt() if self.sparse else width


@dataclasses.dataclass(frozen=True, eq=False)
class AlbedoPrior:
    """N(0, 1) of albedo coefficients.

    Attributes:
        weight: strength.
    """

    weight: float

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """A row a coefficient."""
        coefficients = state.parameters.albedo[0]
        jacobian = coefficients.new_zeros(len(coefficients), layout.n_total)
        jacobian[:, layout.albedo] = self.weight**0.5 * torch.eye(len(coefficients)).to(coefficients)
        return LinearizedTerm(jacobian, self.weight**0.5 * coefficients)


@dataclasses.dataclass(frozen=True)
class FocalPrior:
    """How far focal lengths may be from those of the views.

    Attributes:
        sigma: of the logarithm, a view; one of 0 holds it where it is.
    """

    sigma: tuple[float, ...]

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """A row a view."""
        jacobian = state.log_focal.new_zeros(layout.n_views, layout.n_total)
        weights = 1.0 / state.log_focal.new_tensor(self.sigma).clamp_min(1e-6)
        for view in range(layout.n_views):
            jacobian[view, layout.focal(view).start] = weights[view]
        return LinearizedTerm(jacobian, weights * state.log_focal)
