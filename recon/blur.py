"""Gaussian blur of pictures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian_blur(image: Float[Tensor, "b c h w"], sigma_px: float | Float[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Each image blurred by its own sigma, the border continued.

    The kernels end at 2.5 times the largest sigma. Sums are made in one order, whatever the size of the batch and the number of
    threads, so that equal images give equal bytes.

    Args:
        image: ``(B, C, H, W)``, float.
        sigma_px: standard deviations, ``(B,)`` or one for all; those below 0.001 do not blur.
    """
    sigmas = torch.as_tensor(sigma_px, dtype=image.dtype, device=image.device).expand(len(image))
    radius = max(1, int(torch.ceil(2.5 * sigmas.max())))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigmas.clamp_min(1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    padded = torch.nn.functional.pad(image, (radius,) * 4, mode="replicate")
    height, width = image.shape[-2:]
    rows = torch.zeros_like(padded[:, :, :height])
    for k in range(2 * radius + 1):
        rows = rows + kernel[:, k, None, None, None] * padded[:, :, k : k + height]
    result = torch.zeros_like(image)
    for k in range(2 * radius + 1):
        result = result + kernel[:, k, None, None, None] * rows[..., k : k + width]
    return result
