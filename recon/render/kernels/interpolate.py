"""Compiled twins, for the CPU, of the packed-list steps in ``interpolate`` and of vertex normals in ``mesh``.

The forward kernels cut the list in equal parts. The backward kernels scatter: each task owns a private copy of one
picture's gradient, and the copies are summed, so no two threads write the same memory and the result does not depend on
timing.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import bands_per_picture, for_each_task, thread_count


def pack(
    triangle_ids: Int[Tensor, "b h w"], faces: Int[Tensor, "f 3"], n_vertices: int
) -> tuple[Int[Tensor, " p"], Int[Tensor, "p 3"], tuple[int, ...]]:
    """Twin of :func:`recon.render.rasterize.pack_reference`."""
    n_pictures, height, width = triangle_ids.shape
    bands = min(bands_per_picture(n_pictures), height)
    counts = np.zeros(n_pictures * bands, np.int64)
    for_each_task(_count, len(counts), bands, triangle_ids.numpy(), counts)
    ends = counts.cumsum()
    pixel_index = torch.zeros(int(ends[-1]), dtype=torch.int64)
    corner_index = torch.zeros(int(ends[-1]), 3, dtype=torch.int64)
    args = (triangle_ids.numpy(), faces.long().contiguous().numpy(), n_vertices, ends - counts)
    for_each_task(_pack, len(counts), bands, *args, pixel_index.numpy(), corner_index.numpy())
    return pixel_index, corner_index, (0, *ends[bands - 1 :: bands].tolist())


def interpolate(
    flat: Float[Tensor, "n c"], weights: Float[Tensor, "p 3"], corner_index: Int[Tensor, "p 3"]
) -> Float[Tensor, "p c"]:
    """Twin of :func:`recon.render.interpolate.interpolate_reference`."""
    out = flat.new_zeros(weights.shape[0], flat.shape[1])
    parts = thread_count()
    for_each_task(_interpolate, parts, parts, _array(flat), _array(weights), corner_index.numpy(), out.numpy())
    return out


def interpolate_backward(
    g_out: Float[Tensor, "p c"],
    flat: Float[Tensor, "n c"],
    weights: Float[Tensor, "p 3"],
    corner_index: Int[Tensor, "p 3"],
    starts: tuple[int, ...],
    n_vertices: int,
    wanted: tuple[bool, bool],
) -> tuple[Float[Tensor, "n c"] | None, Float[Tensor, "p 3"] | None]:
    """Gradients of :func:`interpolate` in the attributes and in the weights; ``None`` where not wanted."""
    n_pictures, width = len(starts) - 1, flat.shape[1]
    g_flat = g_weights = None
    cotangent = _array(g_out)
    if wanted[1]:
        g_weights = torch.zeros_like(weights)
        parts = thread_count()
        to_weights = (cotangent, _array(flat), corner_index.numpy(), g_weights.numpy())
        for_each_task(_interpolate_backward_weights, parts, parts, *to_weights)
    if wanted[0]:
        bands = bands_per_picture(n_pictures)
        sums = flat.new_zeros(n_pictures, bands, n_vertices, width)
        where = np.asarray(starts, np.int64)
        to_flat = (where, cotangent, _array(weights), corner_index.numpy(), sums.numpy())
        for_each_task(_interpolate_backward_flat, n_pictures * bands, bands, *to_flat)
        g_flat = (sums[:, 0] if bands == 1 else sums.sum(dim=1)).reshape(-1, width)
    return g_flat, g_weights


def barycentrics(
    screen: Float[Tensor, "b v 4"],
    corner_index: Int[Tensor, "p 3"],
    pixel_index: Int[Tensor, " p"],
    size: tuple[int, int],
) -> Float[Tensor, "p 3"]:
    """Twin of :func:`recon.render.interpolate.barycentrics_reference`."""
    out = screen.new_zeros(pixel_index.shape[0], 3)
    parts = thread_count()
    args = (_array(screen).reshape(-1, 4), corner_index.numpy(), pixel_index.numpy(), out.numpy())
    for_each_task(_barycentrics, parts, parts, size[0], size[1], *args)
    return out


def barycentrics_backward(
    g_out: Float[Tensor, "p 3"],
    screen: Float[Tensor, "b v 4"],
    corner_index: Int[Tensor, "p 3"],
    pixel_index: Int[Tensor, " p"],
    weights: Float[Tensor, "p 3"],
    starts: tuple[int, ...],
    size: tuple[int, int],
) -> Float[Tensor, "b v 4"]:
    """Gradient of :func:`barycentrics` in ``screen``."""
    n_pictures, n_vertices = screen.shape[:2]
    bands = bands_per_picture(n_pictures)
    sums = screen.new_zeros(n_pictures, bands, n_vertices, 4)
    args = (
        np.asarray(starts, np.int64),
        _array(g_out),
        _array(screen).reshape(-1, 4),
        corner_index.numpy(),
        pixel_index.numpy(),
        _array(weights),
        sums.numpy(),
    )
    for_each_task(_barycentrics_backward, n_pictures * bands, bands, size[0], size[1], *args)
    return sums[:, 0] if bands == 1 else sums.sum(dim=1)


def face_normal_sums(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b v 3"]:
    """Twin of :func:`recon.render.mesh.face_normal_sums_reference`."""
    out = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    for_each_task(_face_normal_sums, vertices.shape[0], _array(vertices), faces.numpy(), out.numpy())
    return out


def face_normal_sums_backward(
    g_out: Float[Tensor, "b v 3"], vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b v 3"]:
    """Gradient of :func:`face_normal_sums` in the vertices."""
    g_vertices = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    args = (_array(g_out), _array(vertices), faces.numpy(), g_vertices.numpy())
    for_each_task(_face_normal_sums_backward, vertices.shape[0], *args)
    return g_vertices


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


@compiled()
@no_type_check
def _count(task, bands, ids, counts):
    picture, band = task // bands, task % bands
    _, height, width = ids.shape
    n = 0
    for row in range(band * height // bands, (band + 1) * height // bands):
        for col in range(width):
            n += ids[picture, row, col] >= 0
    counts[task] = n


@compiled()
@no_type_check
def _pack(task, bands, ids, faces, n_vertices, first, pixel_index, corner_index):
    picture, band = task // bands, task % bands
    _, height, width = ids.shape
    n = first[task]
    for row in range(band * height // bands, (band + 1) * height // bands):
        for col in range(width):
            face = ids[picture, row, col]
            if face >= 0:
                pixel_index[n] = (picture * height + row) * width + col
                for k in range(3):
                    corner_index[n, k] = faces[face, k] + picture * n_vertices
                n += 1


@compiled()
@no_type_check
def _interpolate(part, parts, flat, weights, corners, out):
    n, width = out.shape
    for p in range(part * n // parts, (part + 1) * n // parts):
        a, b, c = corners[p, 0], corners[p, 1], corners[p, 2]
        wa, wb, wc = weights[p, 0], weights[p, 1], weights[p, 2]
        for k in range(width):
            out[p, k] = (flat[a, k] * wa + flat[b, k] * wb) + flat[c, k] * wc


@compiled()
@no_type_check
def _interpolate_backward_weights(part, parts, g_out, flat, corners, g_weights):
    n, width = g_out.shape
    zero = flat.dtype.type(0.0)
    for p in range(part * n // parts, (part + 1) * n // parts):
        a, b, c = corners[p, 0], corners[p, 1], corners[p, 2]
        ga = gb = gc = zero
        for k in range(width):
            g = g_out[p, k]
            ga += g * flat[a, k]
            gb += g * flat[b, k]
            gc += g * flat[c, k]
        g_weights[p, 0], g_weights[p, 1], g_weights[p, 2] = ga, gb, gc


@compiled()
@no_type_check
def _interpolate_backward_flat(task, bands, starts, g_out, weights, corners, sums):
    picture, band = task // bands, task % bands
    first, count = starts[picture], starts[picture + 1] - starts[picture]
    offset, width = picture * sums.shape[2], sums.shape[3]
    mine = sums[picture, band]
    for p in range(first + band * count // bands, first + (band + 1) * count // bands):
        a, b, c = corners[p, 0] - offset, corners[p, 1] - offset, corners[p, 2] - offset
        wa, wb, wc = weights[p, 0], weights[p, 1], weights[p, 2]
        for k in range(width):
            g = g_out[p, k]
            mine[a, k] += g * wa
            mine[b, k] += g * wb
            mine[c, k] += g * wc


@compiled(error_model="numpy")
@no_type_check
def _barycentrics(part, parts, height, width, screen, corners, pixels, out):
    n = out.shape[0]
    half = screen.dtype.type(0.5)
    for p in range(part * n // parts, (part + 1) * n // parts):
        in_picture = pixels[p] % (height * width)
        row = in_picture // width
        x = screen.dtype.type(in_picture - row * width) + half
        y = screen.dtype.type(row) + half
        a, b, c = corners[p, 0], corners[p, 1], corners[p, 2]
        dxa, dya = screen[a, 0] - x * screen[a, 3], screen[a, 1] - y * screen[a, 3]
        dxb, dyb = screen[b, 0] - x * screen[b, 3], screen[b, 1] - y * screen[b, 3]
        dxc, dyc = screen[c, 0] - x * screen[c, 3], screen[c, 1] - y * screen[c, 3]
        ea = dxb * dyc - dyb * dxc
        eb = dxc * dya - dyc * dxa
        ec = dxa * dyb - dya * dxb
        total = (ea + eb) + ec
        out[p, 0], out[p, 1], out[p, 2] = ea / total, eb / total, ec / total


@compiled(error_model="numpy")
@no_type_check
def _barycentrics_backward(task, bands, height, width, starts, g_out, screen, corners, pixels, weights, sums):
    picture, band = task // bands, task % bands
    first, count = starts[picture], starts[picture + 1] - starts[picture]
    offset = picture * sums.shape[2]
    mine = sums[picture, band]
    half = screen.dtype.type(0.5)
    for p in range(first + band * count // bands, first + (band + 1) * count // bands):
        in_picture = pixels[p] - picture * height * width
        row = in_picture // width
        x = screen.dtype.type(in_picture - row * width) + half
        y = screen.dtype.type(row) + half
        a, b, c = corners[p, 0], corners[p, 1], corners[p, 2]
        dxa, dya = screen[a, 0] - x * screen[a, 3], screen[a, 1] - y * screen[a, 3]
        dxb, dyb = screen[b, 0] - x * screen[b, 3], screen[b, 1] - y * screen[b, 3]
        dxc, dyc = screen[c, 0] - x * screen[c, 3], screen[c, 1] - y * screen[c, 3]
        total = (dxb * dyc - dyb * dxc) + (dxc * dya - dyc * dxa) + (dxa * dyb - dya * dxb)
        mean = g_out[p, 0] * weights[p, 0] + g_out[p, 1] * weights[p, 1] + g_out[p, 2] * weights[p, 2]
        ga, gb, gc = (g_out[p, 0] - mean) / total, (g_out[p, 1] - mean) / total, (g_out[p, 2] - mean) / total
        a, b, c = a - offset, b - offset, c - offset
        gx, gy = gc * dyb - gb * dyc, gb * dxc - gc * dxb
        mine[a, 0] += gx
        mine[a, 1] += gy
        mine[a, 3] -= x * gx + y * gy
        gx, gy = ga * dyc - gc * dya, gc * dxa - ga * dxc
        mine[b, 0] += gx
        mine[b, 1] += gy
        mine[b, 3] -= x * gx + y * gy
        gx, gy = gb * dya - ga * dyb, ga * dxb - gb * dxa
        mine[c, 0] += gx
        mine[c, 1] += gy
        mine[c, 3] -= x * gx + y * gy


@compiled()
@no_type_check
def _face_normal_sums(picture, vertices, faces, out):
    v, mine = vertices[picture], out[picture]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
        wx, wy, wz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for corner in (a, b, c):
            mine[corner, 0] += nx
            mine[corner, 1] += ny
            mine[corner, 2] += nz


@compiled()
@no_type_check
def _face_normal_sums_backward(picture, g_out, vertices, faces, g_vertices):
    v, g, mine = vertices[picture], g_out[picture], g_vertices[picture]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        gx, gy, gz = g[a, 0] + g[b, 0] + g[c, 0], g[a, 1] + g[b, 1] + g[c, 1], g[a, 2] + g[b, 2] + g[c, 2]
        ux, uy, uz = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
        wx, wy, wz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
        gux, guy, guz = wy * gz - wz * gy, wz * gx - wx * gz, wx * gy - wy * gx
        gwx, gwy, gwz = gy * uz - gz * uy, gz * ux - gx * uz, gx * uy - gy * ux
        mine[b, 0] += gux
        mine[b, 1] += guy
        mine[b, 2] += guz
        mine[c, 0] += gwx
        mine[c, 1] += gwy
        mine[c, 2] += gwz
        mine[a, 0] -= gux + gwx
        mine[a, 1] -= guy + gwy
        mine[a, 2] -= guz + gwz
