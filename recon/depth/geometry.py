"""From depth maps to points and normals, in the camera frame of :mod:`recon.camera`."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.camera import PerspectiveCamera


def depth_points(depth_mm: Float[Tensor, "b 1 h w"], camera: PerspectiveCamera) -> Float[Tensor, "b 3 h w"]:
    """The point that each pixel's middle shows.

    Args:
        depth_mm: planar depth.
        camera: of the picture, px.
    """
    height, width = depth_mm.shape[-2:]
    rows = torch.arange(height, device=depth_mm.device, dtype=depth_mm.dtype) + 0.5
    columns = torch.arange(width, device=depth_mm.device, dtype=depth_mm.dtype) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack((x, y), dim=-1).view(1, -1, 2).expand(len(depth_mm), -1, -1)
    points = camera.unproject(pixels, depth_mm.flatten(1))
    return points.transpose(1, 2).unflatten(2, (height, width))


def point_normals(
    points: Float[Tensor, "b 3 h w"], known: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Unit normals towards the camera by central differences, and where they are known: a pixel and its four neighbours are.

    Args:
        points: that pixels show, camera frame.
        known: which of them count.
    """
    right = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    up = points[:, :, :-2, 1:-1] - points[:, :, 2:, 1:-1]
    across = torch.linalg.cross(right, up, dim=1)
    whole = known[:, :, 1:-1, 1:-1] & known[:, :, 1:-1, 2:] & known[:, :, 1:-1, :-2]
    whole = whole & known[:, :, :-2, 1:-1] & known[:, :, 2:, 1:-1]
    border = (1, 1, 1, 1)
    inside = torch.nn.functional.pad(whole, border)
    normals = torch.nn.functional.pad(torch.nn.functional.normalize(across, dim=1), border)
    return torch.where(inside, normals, torch.zeros_like(normals)), inside
