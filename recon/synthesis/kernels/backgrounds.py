"""Compiled CPU kernel of ``backgrounds.enlarged_reference``, the last step of procedural backgrounds."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import for_each_task


def enlarged(
    sharp: Tensor, soft: Tensor, focus: Tensor, fine: Tensor, fine_at: Tensor, amount: Tensor, size: tuple[int, int]
) -> Tensor:
    """``(B, 3, H, W)``; ``fine`` ``(n, n)`` is a noise tile of which a piece of half the size begins at ``fine_at``."""
    out = sharp.new_zeros(len(sharp), 3, *size)
    arrays = (sharp, soft, focus, fine, fine_at, amount)
    for_each_task(_enlarged, len(sharp), *(array.contiguous().numpy() for array in arrays), out.numpy())
    return out


@compiled()
@no_type_check
def _places(n_in, n_out):
    """Where the centres of ``n_out`` pixels lie among ``n_in``: index before, index after, share of the latter."""
    before, after = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    share = np.zeros(n_out, np.float32)
    for k in range(n_out):
        where = max((k + 0.5) * n_in / n_out - 0.5, 0.0)
        before[k] = int(where)
        after[k] = min(before[k] + 1, n_in - 1)
        share[k] = where - before[k]
    return before, after, share


@compiled(fastmath={"contract", "reassoc"})
@no_type_check
def _enlarged(k, sharp, soft, focus, fine, fine_at, amount, out):
    _, _, height, width = out.shape
    zero, one = np.float32(0.0), np.float32(1.0)
    n_sharp, n_soft, tile = sharp.shape[2], soft.shape[2], fine.shape[0]
    n_rows, n_cols = height // 2 + 1, width // 2 + 1
    row_a, row_b, row_w = _places(n_sharp, height)
    col_a, col_b, col_w = _places(n_sharp, width)
    wide_a, wide_b, wide_w = _places(n_soft, height)
    long_a, long_b, long_w = _places(n_soft, width)
    down_a, down_b, down_w = _places(n_rows, height)
    across_a, across_b, across_w = _places(n_cols, width)
    near, far = focus[k], one - focus[k]
    line, coarse, grains = np.zeros(n_sharp, np.float32), np.zeros(n_soft, np.float32), np.zeros(n_cols, np.float32)
    speckle = np.zeros(width, np.float32)
    for row in range(height):
        upper, lower, w = (fine_at[k, 0] + down_a[row]) % tile, (fine_at[k, 0] + down_b[row]) % tile, down_w[row]
        col = fine_at[k, 1] % tile
        for j in range(n_cols):
            grains[j] = (fine[upper, col] + w * (fine[lower, col] - fine[upper, col])) * amount[k]
            col = col + 1 if col + 1 < tile else 0
        for j in range(width):
            a = grains[across_a[j]]
            speckle[j] = a + across_w[j] * (grains[across_b[j]] - a)
        for c in range(3):
            a, b, w = sharp[k, c, row_a[row]], sharp[k, c, row_b[row]], row_w[row]
            for j in range(n_sharp):
                line[j] = near * (a[j] + w * (b[j] - a[j]))
            a, b, w = soft[k, c, wide_a[row]], soft[k, c, wide_b[row]], wide_w[row]
            for j in range(n_soft):
                coarse[j] = far * (a[j] + w * (b[j] - a[j]))
            for j in range(width):
                x, y = line[col_a[j]], coarse[long_a[j]]
                value = x + col_w[j] * (line[col_b[j]] - x) + y + long_w[j] * (coarse[long_b[j]] - y) + speckle[j]
                value = min(max(value, zero), one)
                # Designed as code values; a square is close enough to the sRGB curve for invented colours.
                out[k, c, row, j] = value * value
