"""Loss of the directions of the surface, made from depth. The loss of given normals is in :mod:`losses.depth.batch_mean`."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.masked import as_map, masked_pair, picture_means, sobel


def surface_normal(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    pixel_size: float | Float[Tensor, " b"] = 1.0,
) -> Float[Tensor, " b"]:
    """mean of 1 - cosine of the normals [-dx, -dy, 1] of both maps, [0, 2]: Eq. 5 of the third depth paper, the review's Eq. 17.

    One normal a pixel, by Sobel filters, where the eight neighbours are in the mask. Does not change with an offset.

    Args:
        predicted, true: depth.
        mask: what counts.
        pixel_size: width of a pixel on the surface in the unit of the maps, of all pictures or of each: distance / focal length.
            With it the normals are those of the surface. The papers' are as if a pixel were one unit of depth wide, which in
            metres turns every normal of a face to the camera; the default, 1, is right for millimetres at a focal length in
            pixels equal to the distance in millimetres.

    Raises:
        ValueError: a width that is not positive.
    """
    if isinstance(pixel_size, Tensor):
        width: float | Tensor = as_map(pixel_size)
    elif pixel_size > 0.0:
        width = pixel_size
    else:
        raise ValueError(f"a pixel needs a positive width, got {pixel_size}")
    predicted, true = masked_pair(predicted, true, mask)
    normals = []
    for depth in (predicted, true):
        across, down, whole = sobel(depth, mask)
        # The same normal times the width: no division by it.
        normals.append(
            torch.nn.functional.normalize(torch.cat([-across, -down, width * torch.ones_like(across)], 1), dim=1)
        )
    # 1 - cosine of unit vectors by their difference, which does not cancel where they are nearly equal.
    return picture_means(0.5 * (normals[0] - normals[1]).square().sum(dim=1, keepdim=True), whole)
