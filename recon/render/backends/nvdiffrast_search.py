"""Visible-triangle search on CUDA by nvdiffrast.

nvdiffrast's rows run from the bottom up, so y is negated on the way in and no row is ever copied; its ids start at 1.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.checks import RenderInputError

MAX_FACES = 2**24
"""nvdiffrast returns ids as float32."""


def search(
    screen: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Nearest triangle at every pixel centre; the contract is in :func:`recon.render.rasterize.rasterize`.

    Raises:
        RenderInputError: not float32, no faces, or more faces than a float32 id can count.
    """
    import nvdiffrast.torch as dr

    if screen.dtype != torch.float32:
        raise RenderInputError(f"the nvdiffrast back end renders float32, got {screen.dtype}: use backend='torch'")
    if not 0 < faces.shape[0] <= MAX_FACES:
        raise RenderInputError(f"the nvdiffrast back end renders 1 to {MAX_FACES} faces, got {faces.shape[0]}")
    positions = screen_to_flipped_clip(screen.detach(), size).contiguous()
    triangles = faces.to(torch.int32).contiguous()
    raster, _ = dr.rasterize(_context(screen.device.index), positions, triangles, size, grad_db=False)
    ids = raster[..., 3].to(torch.int32) - 1
    return ids, torch.where(ids >= 0, raster[..., 2], torch.inf)


def screen_to_flipped_clip(screen: Float[Tensor, "b v 4"], size: tuple[int, int]) -> Float[Tensor, "b v 4"]:
    """Clip space with y down, of homogeneous pixel coordinates: its bottom row is the top row of our pictures."""
    x_w, y_w, z, w = screen.unbind(-1)
    return torch.stack((x_w * (2.0 / size[1]) - w, y_w * (2.0 / size[0]) - w, z, w), dim=-1)


@functools.lru_cache(maxsize=16)
def _context(device_index: int) -> object:
    """One rasteriser context a device: making one takes longer than rendering."""
    import nvdiffrast.torch as dr

    return dr.RasterizeCudaContext(device=f"cuda:{device_index}")
