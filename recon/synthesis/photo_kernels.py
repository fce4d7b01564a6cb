"""Compiled twins, for the CPU, of what a camera does to every pixel: ``development.develop_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from recon.render.threads import for_each_task
from recon.synthesis.fast_math import power


def develop(
    linear: Tensor, settings: Tensor, grain_at: Tensor, raw: Tensor, smooth: Tensor, luma: tuple[float, float, float]
) -> Tensor:
    """``(B, 3, H, W)``; ``settings`` ``(B, 10)`` are the columns of ``development.Development`` in order."""
    out = torch.zeros(linear.shape, dtype=linear.dtype)
    arrays = (linear.numpy(), settings.numpy(), grain_at.numpy(), raw.numpy(), smooth.numpy())
    for_each_task(_develop, len(linear), *arrays, np.asarray(luma, np.float32), out.numpy())
    return out


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy", inline="always")
@no_type_check
def _coded(light):
    """The sRGB curve (IEC 61966-2-1) of light in [0, 1]."""
    if light <= np.float32(0.0031308):
        return np.float32(12.92) * light
    return np.float32(1.055) * power(light, np.float32(1.0 / 2.4)) - np.float32(0.055)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _develop(k, linear, settings, grain_at, raw, smooth, luma, out):
    zero, one, two, three = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0)
    _, _, height, width = linear.shape
    side = raw.shape[1]
    gain_r, gain_g, gain_b, noise, soft, colourful, curve, lift, saturation, gray = settings[k]
    read, shot = np.float32(0.035) * noise, np.float32(0.055) * noise
    read, shot = read * read, shot * shot
    for row in range(height):
        tile_row = (grain_at[k, 0] + row) % side
        tile_col = grain_at[k, 1]
        for col in range(width):
            r, g, b = linear[k, 0, row, col] * gain_r, linear[k, 1, row, col] * gain_g, linear[k, 2, row, col] * gain_b
            if noise > zero:
                n_r, n_g, n_b = raw[0, tile_row, tile_col], raw[1, tile_row, tile_col], raw[2, tile_row, tile_col]
                n_r += soft * (smooth[0, tile_row, tile_col] - n_r)
                n_g += soft * (smooth[1, tile_row, tile_col] - n_g)
                n_b += soft * (smooth[2, tile_row, tile_col] - n_b)
                mean = (n_r + n_g + n_b) * np.float32(0.5)
                r += math.sqrt(read + shot * max(r, zero)) * (mean + colourful * (n_r - mean))
                g += math.sqrt(read + shot * max(g, zero)) * (mean + colourful * (n_g - mean))
                b += math.sqrt(read + shot * max(b, zero)) * (mean + colourful * (n_b - mean))
            r = _coded(min(max(r, zero), one))
            g = _coded(min(max(g, zero), one))
            b = _coded(min(max(b, zero), one))
            r = lift + (one - lift) * (r + curve * (r * r * (three - two * r) - r))
            g = lift + (one - lift) * (g + curve * (g * g * (three - two * g) - g))
            b = lift + (one - lift) * (b + curve * (b * b * (three - two * b) - b))
            y = luma[0] * r + luma[1] * g + luma[2] * b
            r = min(max(y + saturation * (r - y), zero), one)
            g = min(max(y + saturation * (g - y), zero), one)
            b = min(max(y + saturation * (b - y), zero), one)
            tile_col = tile_col + 1 if tile_col + 1 < side else 0
            if gray > zero:
                r = g = b = luma[0] * r + luma[1] * g + luma[2] * b
            out[k, 0, row, col], out[k, 1, row, col], out[k, 2, row, col] = r, g, b
