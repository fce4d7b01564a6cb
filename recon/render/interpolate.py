"""Barycentrics and attributes at covered pixels, with gradients.

Everything works on one packed list of the P covered pixels of all pictures. Two steps carry nearly all the time of the
renderer, ``barycentrics_at`` and ``interpolate_at``; on the CPU they run compiled (``kernels``), because a scatter by
autograd was measured several times slower (``benchmarks/render.py --parts``). The ``_reference`` twins are plain torch,
run on every device, and the tests hold both to the same values and gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.kernels import interpolate as kernels
from recon.render.screen import pixel_centres

if TYPE_CHECKING:
    from recon.render.rasterize import Raster


def interpolate(attributes: Float[Tensor, "_b v c"], raster: Raster) -> Float[Tensor, "b h w c"]:
    """Attributes of any width at every pixel, perspective-correct; 0 on the background.

    Differentiable in the attributes and in the clip-space vertices that the raster was made from.

    Args:
        attributes: ``(B, V, C)`` per vertex, B and V those of the rasterised vertices (B = 1 serves all pictures).
        raster: what :func:`recon.render.rasterize.rasterize` returned.
    """
    return raster.unpack(interpolate_packed(attributes, raster))


def interpolate_packed(attributes: Float[Tensor, "_b v c"], raster: Raster) -> Float[Tensor, "p c"]:
    """As :func:`interpolate`, at covered pixels only, in the order of ``raster.pixel_index``.

    Raises:
        ValueError: B or V is not the raster's.
    """
    n_pictures, n_vertices = raster.screen.shape[:2]
    if attributes.shape[0] not in (1, n_pictures) or attributes.shape[1] != n_vertices:
        raise ValueError(
            f"attributes must be ({n_pictures} or 1, {n_vertices}, C) like the rasterised vertices, "
            f"got {tuple(attributes.shape)}"
        )
    flat = attributes.expand(n_pictures, -1, -1).reshape(n_pictures * n_vertices, -1)
    return interpolate_at(flat.to(raster.barycentrics_packed.dtype), raster.barycentrics_packed, raster)


def interpolate_at(flat: Float[Tensor, "n c"], weights: Float[Tensor, "p 3"], raster: Raster) -> Float[Tensor, "p c"]:
    """Weighted sum of the three corners' rows of ``flat`` ``(B V, C)``."""
    if flat.device.type != "cpu":
        return interpolate_reference(flat, weights, raster.corner_index)
    out: Tensor = _Interpolate.apply(flat, weights, raster.corner_index, raster.starts, raster.screen.shape[1])
    return out


def interpolate_reference(
    flat: Float[Tensor, "n c"], weights: Float[Tensor, "p 3"], corner_index: Int[Tensor, "p 3"]
) -> Float[Tensor, "p c"]:
    """The plain twin of the compiled interpolation."""
    corners = flat.index_select(0, corner_index.reshape(-1)).view(-1, 3, flat.shape[1])
    return (corners * weights[..., None]).sum(dim=1)


def barycentrics_at(
    screen: Float[Tensor, "b v 4"],
    corner_index: Int[Tensor, "p 3"],
    pixel_index: Int[Tensor, " p"],
    starts: tuple[int, ...],
    size: tuple[int, int],
) -> Float[Tensor, "p 3"]:
    """Perspective-correct barycentrics of pixel centres in their triangles, differentiable in ``screen``."""
    if screen.device.type != "cpu":
        return barycentrics_reference(screen, corner_index, pixel_index, size)
    out: Tensor = _Barycentrics.apply(screen, corner_index, pixel_index, starts, size)
    return out


def barycentrics_reference(
    screen: Float[Tensor, "b v 4"],
    corner_index: Int[Tensor, "p 3"],
    pixel_index: Int[Tensor, " p"],
    size: tuple[int, int],
) -> Float[Tensor, "p 3"]:
    """The plain twin of the compiled barycentrics.

    With corners (x w, y w, w) seen from the pixel centre, a point of the triangle projects to the centre when its
    barycentrics annul the weighted sum of the corners' offsets; the solution is the three edge functions, normalised
    (Olano and Greer 1997). No perspective division of a corner is needed.
    """
    x_px, y_px = pixel_centres(pixel_index, size, screen.dtype)
    corners = screen.reshape(-1, 4).index_select(0, corner_index.reshape(-1)).view(-1, 3, 4)
    dx = corners[..., 0] - x_px[:, None] * corners[..., 3]
    dy = corners[..., 1] - y_px[:, None] * corners[..., 3]
    edges = dx.roll(-1, 1) * dy.roll(-2, 1) - dy.roll(-1, 1) * dx.roll(-2, 1)
    return edges / edges.sum(dim=1, keepdim=True)


def moved_inside(weights: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """Barycentrics of points a little outside of their triangle, moved into it as nvdiffrast does.

    nvdiffrast's CUDA rasteriser decides on coverage with vertices on a grid of 1/16 pixel (Laine and Karras 2011,
    "High-performance software rasterization on GPUs"), so a pixel centre can lie outside of the triangle it shows; a sliver's
    attributes would be extrapolated far. The gradient is that of the weights as they were, like nvdiffrast's.
    """
    first = weights[:, :2].detach().clamp(0.0, 1.0)
    first = first / first.sum(dim=1, keepdim=True).clamp_min(1.0)
    inside = torch.cat((first, 1.0 - first.sum(dim=1, keepdim=True)), dim=1)
    # In this order: beside large weights nothing would be left of what is added.
    return inside + (weights - weights.detach())


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, flat, weights, corner_index, starts, n_vertices):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(flat, weights, corner_index)
        ctx.starts, ctx.n_vertices = starts, n_vertices
        return kernels.interpolate(flat, weights, corner_index)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[no-untyped-def]
        flat, weights, corner_index = ctx.saved_tensors
        g_flat, g_weights = kernels.interpolate_backward(
            g_out, flat, weights, corner_index, ctx.starts, ctx.n_vertices, ctx.needs_input_grad[:2]
        )
        return g_flat, g_weights, None, None, None


class _Barycentrics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, screen, corner_index, pixel_index, starts, size):  # type: ignore[no-untyped-def]
        out = kernels.barycentrics(screen, corner_index, pixel_index, size)
        ctx.save_for_backward(screen, corner_index, pixel_index, out)
        ctx.starts, ctx.size = starts, size
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[no-untyped-def]
        screen, corner_index, pixel_index, weights = ctx.saved_tensors
        g_screen = kernels.barycentrics_backward(
            g_out, screen, corner_index, pixel_index, weights, ctx.starts, ctx.size
        )
        return g_screen, None, None, None, None
