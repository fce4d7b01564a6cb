"""Compiled CPU kernel of ``isp.tone_map_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import for_each_task
from recon.synthesis.kernels.fast_math import power


def tone_map(
    linear: Tensor, settings: Tensor, grain_at: Tensor, raw: Tensor, smooth: Tensor, luma: tuple[float, float, float]
) -> Tensor:
    """``(B, 3, H, W)``; ``settings`` ``(B, 10)`` are the columns of ``isp.IspSettings`` in order."""
    out = torch.zeros(linear.shape, dtype=linear.dtype)
    arrays = (linear.numpy(), settings.numpy(), grain_at.numpy(), raw.numpy(), smooth.numpy())
    for_each_task(_tone_map, len(linear), *arrays, np.asarray(luma, np.float32), out.numpy())
    return out


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _tone_map(k, linear, settings, grain_at, raw, smooth, luma, out):
    # Row by row in short loops without branches, which the compiler turns into vector instructions.
    zero, one, two, three = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0)
    _, _, height, width = linear.shape
    side = raw.shape[1]
    noise, soft, colourful, curve, lift, saturation, gray = settings[k, 3:]
    read, shot = np.float32(0.035) * noise, np.float32(0.055) * noise
    read, shot = read * read, shot * shot
    rgb, grains = np.zeros((3, width), np.float32), np.zeros((3, width), np.float32)
    for row in range(height):
        for c in range(3):
            gain = settings[k, c]
            for j in range(width):
                rgb[c, j] = linear[k, c, row, j] * gain
        if noise > zero:
            tile_row, tile_col = (grain_at[k, 0] + row) % side, grain_at[k, 1] % side
            for c in range(3):
                col = tile_col
                for j in range(width):
                    grains[c, j] = raw[c, tile_row, col] + soft * (smooth[c, tile_row, col] - raw[c, tile_row, col])
                    col = col + 1 if col + 1 < side else 0
            for j in range(width):
                mean = (grains[0, j] + grains[1, j] + grains[2, j]) * np.float32(0.5)
                for c in range(3):
                    spread = math.sqrt(read + shot * max(rgb[c, j], zero))
                    rgb[c, j] += spread * (mean + colourful * (grains[c, j] - mean))
        for c in range(3):
            for j in range(width):
                x = min(max(rgb[c, j], zero), one)
                # the sRGB curve (IEC 61966-2-1)
                coded = np.float32(1.055) * power(max(x, np.float32(0.0031308)), np.float32(1.0 / 2.4))
                x = np.float32(12.92) * x if x <= np.float32(0.0031308) else coded - np.float32(0.055)
                rgb[c, j] = lift + (one - lift) * (x + curve * (x * x * (three - two * x) - x))
        for j in range(width):
            y = luma[0] * rgb[0, j] + luma[1] * rgb[1, j] + luma[2] * rgb[2, j]
            for c in range(3):
                rgb[c, j] = min(max(y + saturation * (rgb[c, j] - y), zero), one)
        if gray > zero:
            for j in range(width):
                y = luma[0] * rgb[0, j] + luma[1] * rgb[1, j] + luma[2] * rgb[2, j]
                for c in range(3):
                    rgb[c, j] = y
        for c in range(3):
            for j in range(width):
                out[k, c, row, j] = rgb[c, j]
