"""Compiled twins, for the CPU, of the slowest per-pixel steps: ``shading.shade_reference`` and ``shadows.lit_share_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np
from torch import Tensor

from recon.render.threads import for_each_task, thread_count
from recon.synthesis.lights import N_LAMPS

MASKING = 0.2
"""Share of a slanted mirror image that roughness hides: k of Schlick's masking term."""


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


def add_lamps(
    colour: Tensor, columns: tuple[Tensor, ...], picture: Tensor, lamps: Tensor, settings: tuple[float, ...]
) -> None:
    """Add the lamps' light to ``colour`` ``(P, 3)``, in place.

    Args:
        colour: light from the surroundings so far.
        columns: normals, view, albedo, reach, mirrored radiance ``(P, 3)``; lit ``(P, 2)``; gloss, sharpness, scatter,
            sky ``(P,)``.
        picture: ``(P,)``.
        lamps: ``(B, 2, 6)`` direction and irradiance.
        settings: softness, shine, and the three wraps.
    """
    parts = thread_count()
    arrays = (*(_array(column) for column in columns), picture.numpy(), _array(lamps))
    for_each_task(_add_lamps, parts, parts, *arrays, np.asarray(settings, np.float32), colour.numpy())


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


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _add_lamps(
    part, parts, normals, view, albedo, reach, mirrored, lit_of, gloss_of, sharpness_of, scatter_of, sky,
    picture, lamps, settings, colour,
):  # fmt: skip
    n = len(colour)
    zero, one = np.float32(0.0), np.float32(1.0)
    softness, shine = settings[0], settings[1]
    by_pi, masking = np.float32(1.0 / math.pi), np.float32(MASKING)
    for p in range(part * n // parts, (part + 1) * n // parts):
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        vx, vy, vz = view[p, 0], view[p, 1], view[p, 2]
        n_dot_v = min(max(nx * vx + ny * vy + nz * vz, zero), one)
        gloss, sharpness, scatter = gloss_of[p], sharpness_of[p], scatter_of[p]
        for k in range(N_LAMPS):
            lamp = lamps[picture[p], k]
            lx, ly, lz = lamp[0], lamp[1], lamp[2]
            lit = lit_of[p, k]
            if lit <= zero:
                continue
            n_dot_l = nx * lx + ny * ly + nz * lz
            peak = zero
            if shine > zero and n_dot_l > zero:
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                length = math.sqrt(max(hx * hx + hy * hy + hz * hz, np.float32(1e-12)))
                n_dot_h = max((nx * hx + ny * hy + nz * hz) / length, zero)
                if n_dot_h > np.float32(1e-4):
                    peak = math.exp(sharpness * math.log(n_dot_h)) * np.float32(0.0045) * (sharpness + np.float32(8.0))
                    peak *= shine * gloss * math.sqrt(min(n_dot_l, one) * n_dot_v)
            for c in range(3):
                wrap = softness * scatter * settings[2 + c]
                soft = max((n_dot_l + wrap) / (one + wrap), zero)
                # soft ** (1 + wrap)
                if soft > np.float32(1e-6) and wrap > zero:
                    soft = soft * math.exp(wrap * math.log(soft))
                diffuse = albedo[p, c] * soft * (np.float32(0.5) + np.float32(0.5) * reach[p, c])
                colour[p, c] += lamp[3 + c] * lit * by_pi * (diffuse + peak)
        if shine > zero:
            back = one - n_dot_v
            fresnel = np.float32(0.028) + np.float32(0.08) * back * back * back * back * back
            free = n_dot_v / (n_dot_v * (one - masking) + masking) * sky[p] * sky[p]
            amount = shine * np.float32(0.8) * fresnel * min(gloss, np.float32(1.5)) * free
            for c in range(3):
                colour[p, c] += amount * max(mirrored[p, c], zero)
