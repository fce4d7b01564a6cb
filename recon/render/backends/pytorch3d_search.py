"""Visible-triangle search by PyTorch3D, for those who have it.

PyTorch3D renders in its own normalised coordinates: +x to the left, +y up, the shorter side of the picture spans -1..1,
and z grows away from the camera and must be positive.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.checks import RenderInputError
from recon.render.screen import NEAR_W, screen_to_pixels


def search(
    screen: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Nearest triangle at every pixel centre; the contract is in :func:`recon.render.rasterize.rasterize`.

    Raises:
        RenderInputError: a vertex behind the camera, which PyTorch3D cannot clip at the pixel, or not float32.
    """
    from pytorch3d.renderer.mesh import rasterize_meshes
    from pytorch3d.structures import Meshes

    if screen.dtype != torch.float32:
        raise RenderInputError(f"the pytorch3d back end renders float32, got {screen.dtype}: use backend='torch'")
    if not bool((screen[..., 3] > NEAR_W).all()):
        raise RenderInputError("the pytorch3d back end cannot clip vertices behind the camera: use backend='torch'")
    n_pictures, n_faces = screen.shape[0], faces.shape[0]
    vertices = screen_to_pytorch3d(screen.detach(), size)
    meshes = Meshes(verts=vertices, faces=faces.long().expand(n_pictures, -1, -1))
    packed_ids, depth, _, _ = rasterize_meshes(
        meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False, cull_backfaces=False
    )
    packed_ids, z = packed_ids[..., 0], 2.0 * depth[..., 0] - 3.0
    seen = (packed_ids >= 0) & (z >= -1.0) & (z <= 1.0)
    ids = torch.where(seen, packed_ids % max(n_faces, 1), -1).to(torch.int32)
    return ids, torch.where(seen, z, torch.inf)


def screen_to_pytorch3d(screen: Float[Tensor, "b v 4"], size: tuple[int, int]) -> Float[Tensor, "b v 3"]:
    """PyTorch3D's normalised coordinates; z / w in [-1, 1], which is straight in the picture, becomes 1 to 2."""
    height, width = size
    shorter = min(height, width)
    x_px, y_px = screen_to_pixels(screen).unbind(-1)
    x = (width - 2.0 * x_px) / shorter
    y = (height - 2.0 * y_px) / shorter
    return torch.stack((x, y, 0.5 * screen[..., 2] / screen[..., 3] + 1.5), dim=-1)
