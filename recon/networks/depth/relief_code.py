"""Depth maps as the verifier of Pini et al. 2018 sees them: the relief about the face's middle, without its distance."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SPAN_MM = 320.0
"""From -1 to 1: the side of Pini's box around a face (their Eq. 6). They do not say how depth becomes 8-bit grey."""


def relief_code(depth_mm: Float[Tensor, "b 1 h w"], known: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """-1 for 160 mm or more before the mean depth of the middle third of the map, 1 for as far behind it or unknown.

    Args:
        depth_mm: planar depth of face crops.
        known: where it is known; a map of which nothing is known in the middle is 1 all over.
    """
    height, width = depth_mm.shape[-2:]
    middle = (..., slice(height // 3, height - height // 3), slice(width // 3, width - width // 3))
    counts = known[middle].sum(dim=(1, 2, 3))
    centre_mm = torch.where(known, depth_mm, 0.0)[middle].sum(dim=(1, 2, 3)) / counts.clamp_min(1)
    code = (2.0 / SPAN_MM * (depth_mm - centre_mm[:, None, None, None])).clamp(-1.0, 1.0)
    return torch.where(known & (counts > 0)[:, None, None, None], code, 1.0)
