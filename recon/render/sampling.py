"""Bilinear samples of pictures, by pixel or by texture coordinate. Pixel and texel centres lie at half-integers."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Outside = Literal["border", "zeros"]


def sample_pixels(
    image: Float[Tensor, "c h w"], pixels: Float[Tensor, "n 2"], *, outside: Outside = "border"
) -> Float[Tensor, "n c"]:
    """Values ``(N, C)`` at places in px, x right and y down, differentiable in both.

    Args:
        image: ``(C, H, W)``.
        pixels: ``(N, 2)``; [0, W] x [0, H] spans the picture edge to edge. nan counts as outside.
        outside: repeat the border, or take zeros.
    """
    size = pixels.new_tensor([float(image.shape[2]), float(image.shape[1])])
    return _sample_grid(image, (2.0 * (pixels / size) - 1.0).nan_to_num(-3.0), outside)


def sample_uv(image: Float[Tensor, "c th tw"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Values ``(P, C)`` at texture coordinates, u right and v up; [0, 1] spans the picture edge to edge, and outside it
    the border is repeated. Differentiable in both."""
    return _sample_grid(image, torch.stack((2.0 * uv[:, 0] - 1.0, 1.0 - 2.0 * uv[:, 1]), dim=-1), "border")


def _sample_grid(image: Float[Tensor, "c h w"], grid: Float[Tensor, "n 2"], outside: Outside) -> Float[Tensor, "n c"]:
    samples = torch.nn.functional.grid_sample(
        image[None], grid[None, None], mode="bilinear", padding_mode=outside, align_corners=False
    )
    return samples[0, :, 0].T
