"""Compiled twin, for the CPU, of ``shading.shade_packed_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.compiled import compiled
from recon.lighting import CLAMPED_COSINE
from recon.render.threads import bands_per_picture, for_each_task

# Y_k times its clamped-cosine factor, divided by pi: band by band, as in ``recon.lighting``
_C0 = math.sqrt(1.0 / (4.0 * math.pi))
_C1 = math.sqrt(3.0 / (4.0 * math.pi)) * CLAMPED_COSINE[1] / math.pi
_C2 = math.sqrt(15.0 / (4.0 * math.pi)) * CLAMPED_COSINE[4] / math.pi
_C2_ZZ = math.sqrt(5.0 / (16.0 * math.pi)) * CLAMPED_COSINE[4] / math.pi
_C2_XX = math.sqrt(15.0 / (16.0 * math.pi)) * CLAMPED_COSINE[4] / math.pi


def shade(
    albedo: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    lighting: Float[Tensor, "b 9 c"],
    starts: tuple[int, ...],
) -> Float[Tensor, "p 3"]:
    """Colours of the packed pixels."""
    out = torch.zeros_like(albedo, memory_format=torch.contiguous_format)
    bands = bands_per_picture(len(starts) - 1)
    arrays = (_array(albedo), _array(normals), _three(lighting), out.numpy())
    for_each_task(_shade, (len(starts) - 1) * bands, bands, np.asarray(starts, np.int64), *arrays)
    return out


def shade_backward(
    g_out: Float[Tensor, "p 3"],
    albedo: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    lighting: Float[Tensor, "b 9 c"],
    starts: tuple[int, ...],
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"], Float[Tensor, "b 9 c"]]:
    """Gradients in albedo, normals and lighting."""
    n_pictures = len(starts) - 1
    bands = bands_per_picture(n_pictures)
    g_albedo = torch.zeros_like(albedo, memory_format=torch.contiguous_format)
    g_normals = torch.zeros_like(normals, memory_format=torch.contiguous_format)
    # sums over many pixels: double keeps the last digits
    g_lighting = torch.zeros(n_pictures, bands, 9, 3, dtype=torch.float64)
    arrays = (_array(g_out), _array(albedo), _array(normals), _three(lighting))
    sums = (g_albedo.numpy(), g_normals.numpy(), g_lighting.numpy())
    for_each_task(_shade_backward, n_pictures * bands, bands, np.asarray(starts, np.int64), *arrays, *sums)
    total = g_lighting.sum(dim=1).to(lighting.dtype)
    return g_albedo, g_normals, total if lighting.shape[-1] == 3 else total.sum(dim=-1, keepdim=True)


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


def _three(lighting: Tensor) -> np.ndarray:
    return _array(lighting.expand(-1, -1, 3))


@compiled()
@no_type_check
def _fill_basis(x, y, z, basis):
    basis[0] = _C0
    basis[1] = _C1 * y
    basis[2] = _C1 * z
    basis[3] = _C1 * x
    basis[4] = _C2 * x * y
    basis[5] = _C2 * y * z
    basis[6] = _C2_ZZ * (3.0 * z * z - 1.0)
    basis[7] = _C2 * x * z
    basis[8] = _C2_XX * (x * x - y * y)


@compiled()
@no_type_check
def _shade(task, bands, starts, albedo, normals, lighting, out):
    picture, band = task // bands, task % bands
    first, count = starts[picture], starts[picture + 1] - starts[picture]
    light = lighting[picture]
    basis = np.zeros(9, albedo.dtype)
    for p in range(first + band * count // bands, first + (band + 1) * count // bands):
        _fill_basis(normals[p, 0], normals[p, 1], normals[p, 2], basis)
        r = g = b = albedo.dtype.type(0.0)
        for k in range(9):
            r += basis[k] * light[k, 0]
            g += basis[k] * light[k, 1]
            b += basis[k] * light[k, 2]
        out[p, 0], out[p, 1], out[p, 2] = albedo[p, 0] * r, albedo[p, 1] * g, albedo[p, 2] * b


@compiled()
@no_type_check
def _shade_backward(task, bands, starts, g_out, albedo, normals, lighting, g_albedo, g_normals, g_lighting):
    picture, band = task // bands, task % bands
    first, count = starts[picture], starts[picture + 1] - starts[picture]
    light, g_light = lighting[picture], g_lighting[picture, band]
    zero = albedo.dtype.type(0.0)
    basis, g_basis = np.zeros(9, albedo.dtype), np.zeros(9, albedo.dtype)
    for p in range(first + band * count // bands, first + (band + 1) * count // bands):
        x, y, z = normals[p, 0], normals[p, 1], normals[p, 2]
        _fill_basis(x, y, z, basis)
        gr, gg, gb = g_out[p, 0] * albedo[p, 0], g_out[p, 1] * albedo[p, 1], g_out[p, 2] * albedo[p, 2]
        r = g = b = zero
        for k in range(9):
            r += basis[k] * light[k, 0]
            g += basis[k] * light[k, 1]
            b += basis[k] * light[k, 2]
            g_light[k, 0] += basis[k] * gr
            g_light[k, 1] += basis[k] * gg
            g_light[k, 2] += basis[k] * gb
            g_basis[k] = light[k, 0] * gr + light[k, 1] * gg + light[k, 2] * gb
        g_albedo[p, 0], g_albedo[p, 1], g_albedo[p, 2] = g_out[p, 0] * r, g_out[p, 1] * g, g_out[p, 2] * b
        g_normals[p, 0] = _C1 * g_basis[3] + _C2 * (y * g_basis[4] + z * g_basis[7]) + _C2_XX * 2.0 * x * g_basis[8]
        g_normals[p, 1] = _C1 * g_basis[1] + _C2 * (x * g_basis[4] + z * g_basis[5]) - _C2_XX * 2.0 * y * g_basis[8]
        g_normals[p, 2] = _C1 * g_basis[2] + _C2 * (y * g_basis[5] + x * g_basis[7]) + _C2_ZZ * 6.0 * z * g_basis[6]
