"""Lambertian shading of the packed list of covered pixels, each picture under its own light."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.lighting import shade
from recon.render.kernels import shading as shading_kernels


def shade_packed(
    albedo: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    lighting: Float[Tensor, "b 9 c"],
    starts: tuple[int, ...],
) -> Float[Tensor, "p 3"]:
    """Colours of covered pixels; picture b owns rows ``starts[b]`` to ``starts[b + 1]``.

    Compiled on the CPU: in plain torch, nine basis functions and their gradients were half of the renderer's time.
    """
    if albedo.device.type != "cpu":
        return shade_packed_reference(albedo, normals, lighting, starts)
    out: Tensor = _Shade.apply(albedo, normals, lighting, starts)
    return out


def shade_packed_reference(
    albedo: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    lighting: Float[Tensor, "b 9 c"],
    starts: tuple[int, ...],
) -> Float[Tensor, "p 3"]:
    """The plain twin: :func:`recon.lighting.shade`, picture by picture."""
    spans = enumerate(zip(starts[:-1], starts[1:], strict=True))
    return torch.cat([shade(albedo[i:j], normals[i:j], lighting[picture]) for picture, (i, j) in spans])


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, albedo, normals, lighting, starts):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(albedo, normals, lighting)
        ctx.starts = starts
        return shading_kernels.shade(albedo, normals, lighting, starts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[no-untyped-def]
        albedo, normals, lighting = ctx.saved_tensors
        return (*shading_kernels.shade_backward(g_out, albedo, normals, lighting, ctx.starts), None)
