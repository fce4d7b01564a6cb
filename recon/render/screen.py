"""From clip space to the pixel grid: the one place where y is flipped and pixel centres are defined."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEAR_W = 1e-6
"""Vertices with a smaller w are behind the camera or in its centre; their triangles are clipped."""


def clip_to_screen(v_clip: Float[Tensor, "b v 4"], size: tuple[int, int]) -> Float[Tensor, "b v 4"]:
    """Homogeneous pixel coordinates ``(x_px w, y_px w, z, w)`` of clip-space vertices ``(x, y, z, w)``.

    Clip space is OpenGL's: x right, y up, visible where ``-w <= x, y, z <= w`` and w > 0. Pixels have x right, y down
    and the origin at the top-left corner of the picture. No division happens, so vertices behind the camera are fine.
    """
    half_height, half_width = 0.5 * size[0], 0.5 * size[1]
    columns = (  # x w, y w, z, w
        (half_width, 0.0, 0.0, 0.0),
        (0.0, -half_height, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
        (half_width, half_height, 0.0, 1.0),
    )
    return v_clip @ v_clip.new_tensor(columns)


def screen_to_pixels(screen: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 2"]:
    """Pixel coordinates; meaningless where w is not positive."""
    return screen[..., :2] / screen[..., 3:]


def pixel_centres(
    pixel_index: Int[Tensor, " p"], size: tuple[int, int], dtype: torch.dtype
) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
    """x and y of pixel centres from flat indices into ``(B, H, W)``."""
    height, width = size
    in_picture = pixel_index % (height * width)
    rows = torch.div(in_picture, width, rounding_mode="floor")
    return (in_picture - rows * width).to(dtype) + 0.5, rows.to(dtype) + 0.5
