"""Best planar similarity between point sets (Umeyama 1991), batched and in closed form."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def similarity_from_points(source: Float[Tensor, "b n 2"], target: Float[Tensor, "b n 2"]) -> Float[Tensor, "b 2 3"]:
    """``(B, 2, 3)``: scale, rotation and shift, without mirroring, that bring source nearest to target.

    Points of the source that coincide have no scale and give 0.
    """
    centre_s, centre_t = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    a, b = source - centre_s, target - centre_t
    spread = a.square().sum(dim=(1, 2)).clamp_min(1e-12)
    # In the plane a similarity is multiplication by the complex number (cos, sin) times the scale.
    real = (a * b).sum(dim=(1, 2)) / spread
    imaginary = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=1) / spread
    linear = torch.stack((torch.stack((real, -imaginary), -1), torch.stack((imaginary, real), -1)), dim=1)
    shift = centre_t.squeeze(1) - (linear @ centre_s.transpose(1, 2)).squeeze(2)
    return torch.cat((linear, shift[:, :, None]), dim=2)
