"""Which pixels of a photo look like the skin of the face in it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import decode_srgb

_FEWEST_PX = 60


def skin_color_confidence(
    image: Float[Tensor, "1 3 h w"], skin_core: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "1 1 h w"]:
    """How much each pixel's colour is like that of cheeks and nose: exp(-(d / 3)^4 / 2), where d is the Mahalanobis distance in
    two chroma ratios and lightness, under 2.5 times a trimmed covariance.

    A stand-in for a face-parsing network: it takes out hair, hats and sunglasses, and leaves shaded skin in.

    Args:
        image: sRGB code values.
        skin_core: over 0.5 where the model shows skin that is hardly ever covered; with fewer than 60 such pixels every
            colour counts as skin.
    """
    colours = decode_srgb(image, "linear")[0].permute(1, 2, 0)
    total = colours.sum(dim=-1).clamp_min(0.02)
    features = torch.stack([colours[..., 0] / total, colours[..., 1] / total, 0.25 * total.log()], dim=-1)
    inside = features[skin_core[0, 0] > 0.5].double()
    if len(inside) < _FEWEST_PX:
        return torch.ones_like(skin_core)
    mean = inside.median(dim=0).values
    kept = inside
    for _ in range(3):
        covariance = torch.cov(kept.T) + torch.diag(torch.tensor([2e-4, 1e-4, 4e-3]).to(kept))
        offset = inside - mean
        distance2 = (offset @ torch.linalg.inv(covariance) * offset).sum(-1)
        kept = inside[distance2 <= distance2.quantile(0.8)]
        mean = kept.mean(dim=0)
    offset = features.double() - mean
    distance2 = (offset @ torch.linalg.inv(2.5 * covariance) * offset).sum(-1)
    return torch.exp(-0.5 * (distance2 / 9.0) ** 2).to(image)[None, None]
