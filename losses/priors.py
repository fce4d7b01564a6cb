"""What is likely before any picture is seen."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def normal_prior(coefficients: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean square of coefficients with an N(0, 1) prior: about 1 for random faces, 0 for the mean."""
    return coefficients.square().mean()


def unit_prior(weights: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean of weights in [0, 1] that are usually 0 (ARKit's): few of them should be at work. What leaves the interval
    is punished by its square."""
    outside = (weights - weights.clamp(0.0, 1.0)).square()
    return (weights.clamp(0.0, 1.0) + outside).mean()


def coefficient_prior(coefficients: Float[Tensor, "b k"], prior: Literal["normal", "unit"]) -> Float[Tensor, ""]:
    """The prior of a model's block; 0 for a block without components."""
    if coefficients.shape[-1] == 0:
        return coefficients.sum()
    return normal_prior(coefficients) if prior == "normal" else unit_prior(coefficients)


def lighting_prior(lighting: Float[Tensor, "b 9 3"]) -> Float[Tensor, ""]:
    """How far light is from white: mean square of each channel's gap to the mean of the channels (Deng et al. 2019)."""
    return (lighting - lighting.mean(dim=-1, keepdim=True)).square().mean()


def lighting_loss(predicted: Float[Tensor, "b 9 3"], target: Float[Tensor, "b 9 3"]) -> Float[Tensor, ""]:
    """Mean absolute difference of shading coefficients: radiance weighed by the clamped cosine's factors over pi, which is
    what a Lambertian face shows (Ramamoorthi and Hanrahan 2001)."""
    factors = torch.tensor([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5, dtype=predicted.dtype, device=predicted.device)
    return (factors[:, None] * (predicted - target)).abs().mean()
