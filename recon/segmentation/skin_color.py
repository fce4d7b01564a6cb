"""Which pixels of a photo look like the skin of the face in it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import decode_srgb


def skin_trust(picture: Float[Tensor, "1 3 h w"], on_skin: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """How much each pixel's colour is like that of cheeks and nose: a robust Gaussian in two chroma ratios and lightness.

    A stand-in for a face-parsing network: it takes out hair, hats and sunglasses, and leaves shaded skin in.

    Args:
        picture: sRGB code values.
        on_skin: over 0.5 where the model shows skin that is hardly ever covered.
    """
    colours = decode_srgb(picture, "linear")[0].permute(1, 2, 0)
    total = colours.sum(dim=-1).clamp_min(0.02)
    features = torch.stack([colours[..., 0] / total, colours[..., 1] / total, 0.25 * total.log()], dim=-1)
    inside = features[on_skin[0, 0] > 0.5].double()
    if len(inside) < 60:
        return torch.ones_like(on_skin)
    centre = inside.median(dim=0).values
    kept = inside
    for _ in range(3):
        spread = torch.cov(kept.T) + torch.diag(torch.tensor([2e-4, 1e-4, 4e-3]).to(kept))
        gap = inside - centre
        distance2 = (gap @ torch.linalg.inv(spread) * gap).sum(-1)
        kept = inside[distance2 <= distance2.quantile(0.8)]
        centre = kept.mean(dim=0)
    gap = features.double() - centre
    distance2 = (gap @ torch.linalg.inv(2.5 * spread) * gap).sum(-1)
    return torch.exp(-0.5 * (distance2 / 9.0) ** 2).to(picture)[None, None]
