"""Compiled twins, for the CPU, of how visible points look: ``skin_points.skin_points_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np
from torch import Tensor

from recon.render.threads import for_each_task, thread_count
from recon.synthesis.fast_math import exp2
from recon.synthesis.noise import noise_volume


def skin_points(
    packed: Tensor, segment: Tensor, picture: Tensor, persons: Tensor, surfaces: Tensor, cells: tuple[float, float]
) -> tuple[Tensor, ...]:
    """Columns of ``skin_points.SkinPoints``.

    Args:
        packed: ``(P, 13)``.
        segment, picture: ``(P,)``.
        persons: ``(B, 7)`` place, roughness, spots, bump, oiliness.
        surfaces: ``(S, 3)`` gloss, sharpness, scatter of each segment.
        cells: of the fine and of the coarse noise, 1 / mm.
    """
    parts, n = thread_count(), len(packed)
    out = tuple(packed.new_zeros(n, 3) for _ in range(4)) + tuple(packed.new_zeros(n) for _ in range(4))
    arrays = (packed.numpy(), segment.numpy(), picture.numpy(), persons.numpy(), surfaces.numpy())
    volume = noise_volume(packed.device)[0].permute(1, 2, 3, 0).contiguous().numpy()
    for_each_task(
        _skin_points, parts, parts, *arrays, np.asarray(cells, np.float32), volume, *(column.numpy() for column in out)
    )
    return out


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _solid_noise(volume, x, y, z):
    """Twin of ``noise.solid_noise`` at one point; ``volume`` ``(n + 1, n + 1, n + 1, 2)`` by z, y, x."""
    n = volume.shape[0] - 1
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) & (n - 1), int(fy) & (n - 1), int(fz) & (n - 1)
    one = np.float32(1.0)
    u, v, w = x - np.float32(fx), y - np.float32(fy), z - np.float32(fz)
    w00, w01, w10, w11 = (one - w) * (one - v), (one - w) * v, w * (one - v), w * v
    a, b = np.float32(0.0), np.float32(0.0)
    left, right = (one - u) * w00, u * w00
    a += left * volume[k, j, i, 0] + right * volume[k, j, i + 1, 0]
    b += left * volume[k, j, i, 1] + right * volume[k, j, i + 1, 1]
    left, right = (one - u) * w01, u * w01
    a += left * volume[k, j + 1, i, 0] + right * volume[k, j + 1, i + 1, 0]
    b += left * volume[k, j + 1, i, 1] + right * volume[k, j + 1, i + 1, 1]
    left, right = (one - u) * w10, u * w10
    a += left * volume[k + 1, j, i, 0] + right * volume[k + 1, j, i + 1, 0]
    b += left * volume[k + 1, j, i, 1] + right * volume[k + 1, j, i + 1, 1]
    left, right = (one - u) * w11, u * w11
    a += left * volume[k + 1, j + 1, i, 0] + right * volume[k + 1, j + 1, i + 1, 0]
    b += left * volume[k + 1, j + 1, i, 1] + right * volume[k + 1, j + 1, i + 1, 1]
    return a, b


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _skin_points(
    part, parts, packed, segment, picture, persons, surfaces, cells, volume,
    position, normals, relief, albedo, sky, gloss, sharpness, scatter,
):  # fmt: skip
    n = len(packed)
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-20)
    to_bits = np.float32(1.0 / math.log(2.0))
    for p in range(part * n // parts, (part + 1) * n // parts):
        kind, who = surfaces[segment[p]], persons[picture[p]]
        for c in range(3):
            position[p, c] = packed[p, c]
        x, y, z = packed[p, 3], packed[p, 4], packed[p, 5]
        length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
        x, y, z = x * length, y * length, z * length
        normals[p, 0], normals[p, 1], normals[p, 2] = x, y, z
        r, g, b = packed[p, 6], packed[p, 7], packed[p, 8]
        sky[p], sharpness[p], scatter[p] = packed[p, 9], kind[1], kind[2]
        shine = kind[0] * who[6]
        if kind[2] > np.float32(0.5) and who[3] > zero:
            rx, ry, rz, rough = packed[p, 10], packed[p, 11], packed[p, 12], who[3]
            fine_a, fine_b = _solid_noise(
                volume, rx * cells[0] + who[0], ry * cells[0] + who[1], rz * cells[0] + who[2]
            )
            coarse_a, coarse_b = _solid_noise(
                volume, rx * cells[1] + who[2], ry * cells[1] + who[1], rz * cells[1] + who[0]
            )
            tone = rough * (np.float32(0.045) * fine_a + np.float32(0.05) * coarse_a)
            freckle = min(max(fine_b + np.float32(0.6) * coarse_b - one, zero), np.float32(0.9))
            freckle *= who[4] * np.float32(0.38)
            red = np.float32(0.035) * rough * coarse_b
            r *= exp2(to_bits * (tone + red - np.float32(0.6) * freckle))
            g *= exp2(to_bits * (tone - red - freckle))
            b *= exp2(to_bits * (tone - red - np.float32(1.2) * freckle))
            x, y, z = x + who[5] * fine_a, y + who[5] * fine_b, z + who[5] * coarse_a
            length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
            x, y, z = x * length, y * length, z * length
            patchy = one + np.float32(0.35) * coarse_b + np.float32(0.2) * fine_b
            shine *= min(max(patchy, np.float32(0.3)), np.float32(2.0))
        relief[p, 0], relief[p, 1], relief[p, 2] = x, y, z
        albedo[p, 0], albedo[p, 1], albedo[p, 2] = r, g, b
        gloss[p] = shine
