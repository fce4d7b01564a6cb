"""Compiled twins, for the CPU, of the slowest per-pixel steps: ``shading.shade_reference`` and ``shadows.lit_share_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np
from torch import Tensor

from recon.render.threads import for_each_task, thread_count
from recon.synthesis.lights import N_LAMPS


def lit_share(
    maps: Tensor,
    seen: Tensor,
    picture: Tensor,
    radius_px: Tensor,
    taps: tuple[tuple[float, float, float], ...],
    out: Tensor,
) -> None:
    """Fill ``out`` ``(P,)``; arguments as in ``shadows``."""
    parts = thread_count()
    where = np.asarray(taps, np.float32)
    arrays = (_array(maps), _array(seen), picture.numpy(), _array(radius_px), where, out.numpy())
    for_each_task(_lit_share, parts, parts, *arrays)


def add_lamps(colour: Tensor, inputs: Tensor, picture: Tensor, lamps: Tensor, settings: tuple[float, ...]) -> None:
    """Add the lamps' light to ``colour`` ``(P, 3)``, in place.

    Args:
        colour: light from the surroundings so far.
        inputs: ``(P, 21)`` normals, view, albedo, reach, gloss, sharpness, scatter, lit, mirrored radiance, sky.
        picture: ``(P,)``.
        lamps: ``(B, 2, 6)`` direction and irradiance.
        settings: softness, shine, and the three wraps.
    """
    parts = thread_count()
    arrays = (_array(inputs), picture.numpy(), _array(lamps), np.asarray(settings, np.float32), colour.numpy())
    for_each_task(_add_lamps, parts, parts, *arrays)


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
@no_type_check
def _lit_share(part, parts, maps, seen, picture, radius, taps, out):
    n, side, count = len(out), maps.shape[1], len(taps)
    for p in range(part * n // parts, (part + 1) * n // parts):
        column, row, along = seen[p, 0], seen[p, 1], seen[p, 2]
        mine, r = maps[picture[p]], radius[p]
        lit = 0
        for k in range(count):
            x = min(max(int(column + taps[k, 0] * r), 0), side - 1)
            y = min(max(int(row + taps[k, 1] * r), 0), side - 1)
            lit += along - taps[k, 2] * r <= mine[y, x]
        out[p] = np.float32(lit) / np.float32(count)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _add_lamps(part, parts, inputs, picture, lamps, settings, colour):
    n = len(colour)
    zero, one = np.float32(0.0), np.float32(1.0)
    softness, shine = settings[0], settings[1]
    by_pi = np.float32(1.0 / math.pi)
    for p in range(part * n // parts, (part + 1) * n // parts):
        nx, ny, nz = inputs[p, 0], inputs[p, 1], inputs[p, 2]
        vx, vy, vz = inputs[p, 3], inputs[p, 4], inputs[p, 5]
        n_dot_v = min(max(nx * vx + ny * vy + nz * vz, zero), one)
        gloss, sharpness, scatter = inputs[p, 12], inputs[p, 13], inputs[p, 14]
        for k in range(N_LAMPS):
            lamp = lamps[picture[p], k]
            lx, ly, lz = lamp[0], lamp[1], lamp[2]
            lit = inputs[p, 15 + k]
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
                diffuse = inputs[p, 6 + c] * soft * (np.float32(0.5) + np.float32(0.5) * inputs[p, 9 + c])
                colour[p, c] += lamp[3 + c] * lit * by_pi * (diffuse + peak)
        if shine > zero:
            back = one - n_dot_v
            fresnel = np.float32(0.028) + np.float32(0.22) * back * back * back * back * back
            amount = shine * np.float32(0.8) * fresnel * min(gloss, np.float32(1.5)) * inputs[p, 20]
            for c in range(3):
                colour[p, c] += amount * max(inputs[p, 17 + c], zero)
