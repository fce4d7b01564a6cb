"""Analytic silhouette coverage, which gives silhouettes their gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.render import silhouettes
from recon.render.checks import RenderInputError
from recon.render.kernels import silhouettes as silhouette_kernels
from recon.render.rasterize import Raster
from recon.render.screen import pixel_centres, screen_to_pixels
from recon.render.silhouettes import Crossings
from recon.render.topology import Topology

DEFAULT_REACH = 32
"""Faces followed beyond the visible one; the choice is measured in ``benchmarks/render.py --silhouettes``."""


def antialias(
    image: Float[Tensor, "b h w c"], raster: Raster, topology: Topology, *, reach: int = DEFAULT_REACH
) -> Float[Tensor, "b h w c"]:
    """Blend pixels along silhouettes by the share that the nearer surface covers.

    Where a silhouette edge crosses the line between the centres of two neighbouring pixels, the surface with the edge
    covers that line up to the crossing: beyond its middle the surface reaches into the farther pixel, before it the
    other side reaches into the nearer one, and the difference of the two colours is added in proportion. The amount is
    differentiable in the edge's two vertices, so a silhouette that moves has a gradient. Definition of nvdiffrast
    (Laine et al. 2020, section 3.5); ``reach=0`` is exactly that one, and a larger reach also finds the edges of
    surfaces whose faces are smaller than a pixel (``silhouettes.py``).

    Args:
        image: ``(B, H, W, C)`` colours with the background already in place; any number of channels.
        raster: the raster that the image was made with.
        topology: of the rasterised faces.
        reach: faces followed beyond the visible one, 0 to 64.
    """
    if image.shape[:3] != raster.triangle_ids.shape:
        raise RenderInputError(
            f"image must be {tuple(raster.triangle_ids.shape)} + (C,) like the raster, got {tuple(image.shape)}"
        )
    if not 0 <= reach <= 64:
        raise RenderInputError(f"reach must lie between 0 and 64 faces, got {reach}")
    crossings = find_crossings(raster, topology, reach)
    if crossings.near.numel() == 0:
        return image
    share = crossing_positions(crossings, raster).clamp(0.0, 1.0) - 0.5
    flat = image.reshape(-1, image.shape[-1])
    colours = flat.index_select(0, torch.cat((crossings.near, crossings.far)))
    near_colour, far_colour = colours.chunk(2)
    changed = torch.where(share > 0, crossings.far, crossings.near)
    change = share.to(flat.dtype)[:, None] * (near_colour - far_colour)
    return flat.index_add(0, changed, change).view(image.shape)


def find_crossings(raster: Raster, topology: Topology, reach: int) -> Crossings:
    """Silhouette crossings of a raster, compiled on the CPU and in plain torch elsewhere; without gradient."""
    screen = raster.screen.detach()
    search = silhouette_kernels.find_crossings if screen.device.type == "cpu" else silhouettes.find_crossings
    return search(raster.triangle_ids, raster.depth_hard, screen_to_pixels(screen), screen[..., 3], topology, reach)


def crossing_positions(crossings: Crossings, raster: Raster) -> Float[Tensor, " n"]:
    """Where each edge crosses, 0 at the near centre and 1 at the far one, differentiable in the vertices."""
    flat = raster.screen.reshape(-1, 4)
    ends = screen_to_pixels(flat.index_select(0, torch.cat((crossings.start, crossings.end))))
    x_near, y_near = pixel_centres(crossings.near, raster.size, flat.dtype)
    x_far, y_far = pixel_centres(crossings.far, raster.size, flat.dtype)
    vertical = y_near != y_far
    sign = (x_far - x_near) + (y_far - y_near)
    start, end = (ends - torch.stack((x_near, y_near), dim=-1).repeat(2, 1)).chunk(2)
    along_start = sign * torch.where(vertical, start[:, 1], start[:, 0])
    along_end = sign * torch.where(vertical, end[:, 1], end[:, 0])
    across_start = torch.where(vertical, start[:, 0], start[:, 1])
    across_end = torch.where(vertical, end[:, 0], end[:, 1])
    return along_start - across_start * (along_end - along_start) / (across_end - across_start)
