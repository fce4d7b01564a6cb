"""Compiled twins, for the CPU, of the slowest per-pixel steps: ``shading.shade_reference`` and ``shadows.lit_share_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np
from torch import Tensor

from recon.lighting import CLAMPED_COSINE
from recon.render.threads import for_each_task, thread_count
from recon.synthesis.fast_math import power
from recon.synthesis.lights import N_LAMPS

MASKING = 0.2
"""Share of a slanted mirror image that roughness hides: k of Schlick's masking term."""
_BASIS = tuple(math.sqrt(k / math.pi) for k in (1 / 4, *(3 / 4,) * 3, 15 / 4, 15 / 4, 5 / 16, 15 / 4, 15 / 16))
"""Factors of the real spherical harmonics to order 2 before 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""


def lit_share(
    maps: Tensor,
    position: Tensor,
    picture: Tensor,
    to_map: Tensor,
    radius_px: Tensor,
    taps: tuple[tuple[float, float, float], ...],
) -> Tensor:
    """Lit shares ``(P,)``; ``to_map`` ``(B, 3, 4)`` and ``radius_px`` ``(B,)`` as in ``shadows``."""
    parts, out = thread_count(), position.new_zeros(len(position))
    where = np.asarray(taps, np.float32)
    arrays = (_array(maps), _array(position), picture.numpy(), _array(to_map), _array(radius_px), where, out.numpy())
    for_each_task(_lit_share, parts, parts, *arrays)
    return out


def shade(
    columns: tuple[Tensor, ...], picture: Tensor, radiance: Tensor, lamps: Tensor, settings: tuple[float, ...]
) -> Tensor:
    """Colours ``(P, 3)``.

    Args:
        columns: position, normals, albedo ``(P, 3)``; lit ``(P, 2)``; gloss, sharpness, scatter, sky ``(P,)``.
        picture: ``(P,)``.
        radiance: ``(B, 9, 3)`` of the surroundings.
        lamps: ``(B, 2, 6)`` direction and irradiance.
        settings: occlusion, softness, shine, and the three wraps.
    """
    parts, out = thread_count(), columns[0].new_zeros(len(picture), 3)
    # Factors of the basis and of the clamped cosine go into the coefficients.
    mirrored = radiance * radiance.new_tensor(_BASIS)[:, None]
    reflected = mirrored * radiance.new_tensor(CLAMPED_COSINE)[:, None] / math.pi
    arrays = (*(_array(column) for column in columns), picture.numpy(), *map(_array, (reflected, mirrored, lamps)))
    for_each_task(_shade, parts, parts, *arrays, np.asarray(settings, np.float32), out.numpy())
    return out


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
@no_type_check
def _lit_share(part, parts, maps, position, picture, to_map, radius, taps, out):
    n, side, count = len(out), maps.shape[1], len(taps)
    for p in range(part * n // parts, (part + 1) * n // parts):
        x, y, z = position[p, 0], position[p, 1], position[p, 2]
        m = to_map[picture[p]]
        column = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        row = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        along = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        mine, r = maps[picture[p]], radius[picture[p]]
        lit = 0
        for k in range(count):
            i = min(max(int(row + taps[k, 1] * r), 0), side - 1)
            j = min(max(int(column + taps[k, 0] * r), 0), side - 1)
            lit += along - taps[k, 2] * r <= mine[i, j]
        out[p] = np.float32(lit) / np.float32(count)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _radiance(light, x, y, z, k):
    """Spherical harmonics of one colour in a direction; the basis' factors are in the coefficients."""
    return (
        light[0, k] + light[1, k] * y + light[2, k] * z + light[3, k] * x
        + light[4, k] * (x * y) + light[5, k] * (y * z) + light[6, k] * (np.float32(3.0) * z * z - np.float32(1.0))
        + light[7, k] * (x * z) + light[8, k] * (x * x - y * y)
    )  # fmt: skip


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _shade(
    part, parts, position, normals, albedo, lit_of, gloss_of, sharpness_of, scatter_of, sky_of,
    picture, reflected, mirrored, lamps, settings, colour,
):  # fmt: skip
    n = len(colour)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    occlusion, softness, shine = settings[0], settings[1], settings[2]
    by_pi, masking, tiny = np.float32(1.0 / math.pi), np.float32(MASKING), np.float32(1e-6)
    for p in range(part * n // parts, (part + 1) * n // parts):
        who = picture[p]
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        vx, vy, vz = -position[p, 0], -position[p, 1], -position[p, 2]
        away = one / max(math.sqrt(vx * vx + vy * vy + vz * vz), tiny)
        vx, vy, vz = vx * away, vy * away, vz * away
        n_dot_v = min(max(nx * vx + ny * vy + nz * vz, zero), one)
        sky, gloss, sharpness, scatter = sky_of[p], gloss_of[p], sharpness_of[p], scatter_of[p]
        shut = occlusion * (one - sky)
        r, g, b = albedo[p, 0], albedo[p, 1], albedo[p, 2]
        reach_r = (one - shut) / max(one - r * shut, np.float32(1e-3))
        reach_g = (one - shut) / max(one - g * shut, np.float32(1e-3))
        reach_b = (one - shut) / max(one - b * shut, np.float32(1e-3))
        light = reflected[who]
        red = max(r * reach_r * _radiance(light, nx, ny, nz, 0), zero)
        green = max(g * reach_g * _radiance(light, nx, ny, nz, 1), zero)
        blue = max(b * reach_b * _radiance(light, nx, ny, nz, 2), zero)
        for k in range(N_LAMPS):
            lamp = lamps[who, k]
            lit = lit_of[p, k] * by_pi
            if lit <= zero or max(lamp[3], lamp[4], lamp[5]) <= zero:
                continue
            lx, ly, lz = lamp[0], lamp[1], lamp[2]
            n_dot_l = nx * lx + ny * ly + nz * lz
            peak = zero
            if shine > zero and n_dot_l > zero:
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                length = math.sqrt(max(hx * hx + hy * hy + hz * hz, np.float32(1e-12)))
                n_dot_h = max((nx * hx + ny * hy + nz * hz) / length, zero)
                if n_dot_h > np.float32(1e-4):
                    peak = power(n_dot_h, sharpness) * np.float32(0.0045) * (sharpness + np.float32(8.0))
                    peak *= shine * gloss * math.sqrt(min(n_dot_l, one) * n_dot_v)
            wrap = softness * scatter
            wrap_r, wrap_g, wrap_b = wrap * settings[3], wrap * settings[4], wrap * settings[5]
            soft_r = max((n_dot_l + wrap_r) / (one + wrap_r), zero)
            soft_g = max((n_dot_l + wrap_g) / (one + wrap_g), zero)
            soft_b = max((n_dot_l + wrap_b) / (one + wrap_b), zero)
            if wrap > zero:
                soft_r = power(soft_r, one + wrap_r) if soft_r > tiny else zero
                soft_g = power(soft_g, one + wrap_g) if soft_g > tiny else zero
                soft_b = power(soft_b, one + wrap_b) if soft_b > tiny else zero
            red += lamp[3] * lit * (r * soft_r * (half + half * reach_r) + peak)
            green += lamp[4] * lit * (g * soft_g * (half + half * reach_g) + peak)
            blue += lamp[5] * lit * (b * soft_b * (half + half * reach_b) + peak)
        if shine > zero:
            back = one - n_dot_v
            fresnel = np.float32(0.028) + np.float32(0.08) * back * back * back * back * back
            free = n_dot_v / (n_dot_v * (one - masking) + masking) * sky * sky
            amount = shine * np.float32(0.8) * fresnel * min(gloss, np.float32(1.5)) * free
            twice = np.float32(2.0) * n_dot_v
            mx, my, mz = twice * nx - vx, twice * ny - vy, twice * nz - vz
            light = mirrored[who]
            red += amount * max(_radiance(light, mx, my, mz, 0), zero)
            green += amount * max(_radiance(light, mx, my, mz, 1), zero)
            blue += amount * max(_radiance(light, mx, my, mz, 2), zero)
        colour[p, 0], colour[p, 1], colour[p, 2] = red, green, blue
