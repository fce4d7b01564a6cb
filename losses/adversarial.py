"""Wasserstein divergence on shapes (Eq. 14 of the reconstruction paper; Wu et al. 2018, "Wasserstein Divergence for GANs").

The discriminator D gives real shapes high values; the regressor wants high values for its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]


def generator_loss(discriminator: Discriminator, fake: Float[Tensor, "b v 3"]) -> Float[Tensor, ""]:
    """L_adv = -D(s'), mean over the batch; the gradient flows into the shapes."""
    return -discriminator(fake).mean()


def discriminator_loss(
    discriminator: Discriminator,
    real: Float[Tensor, "b v 3"],
    fake: Float[Tensor, "b v 3"],
    mixing: Float[Tensor, " b"],
    *,
    strength: float = 2.0,
    power: float = 6.0,
) -> Float[Tensor, ""]:
    """E D(fake) - E D(real) + k E ||grad D(s^)||^p, to be minimised over the discriminator alone.

    Args:
        discriminator: maps ``(B, V, 3)`` to ``(B,)``.
        real, fake: shapes; no gradient flows into them. In which unit decides how much the penalty weighs: k and p below are
            the paper's for decimetres, and in millimetres the same penalty would be 100 to the power ``-power`` as large.
        mixing: ``(B,)`` in [0, 1]: where between fake (0) and real (1) the gradient is taken.
        strength, power: k = 2 and p = 6, as the paper recommends.
    """
    real, fake = real.detach(), fake.detach()
    penalty = divergence_penalty(discriminator, fake + mixing[:, None, None] * (real - fake), power)
    return discriminator(fake).mean() - discriminator(real).mean() + strength * penalty


def divergence_penalty(discriminator: Discriminator, points: Float[Tensor, "b v 3"], power: float) -> Float[Tensor, ""]:
    """E ||grad D||^p at the given shapes, differentiable in the discriminator's parameters."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    # The sum of squares to the power p / 2 has a finite gradient at zero slope, which the norm has not.
    return slope.flatten(1).square().sum(dim=1).pow(0.5 * power).mean()
