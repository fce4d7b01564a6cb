"""Visible-triangle search on the CPU, compiled by numba: the fast twin of ``torch_search``."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.compiled import compiled
from recon.render.screen import NEAR_W, screen_to_pixels
from recon.render.threads import bands_per_picture, for_each_task

BOX_MARGIN = 1e-3
"""Pixels by which boxes grow, so that rounding in them never loses a pixel of the exact test."""


def search(
    screen: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Nearest triangle at every pixel centre; the contract is in :func:`recon.render.rasterize.rasterize`."""
    height, width = size
    n_pictures = screen.shape[0]
    screen = screen.detach().contiguous()
    pixels = screen_to_pixels(screen).contiguous()
    ids = torch.full((n_pictures, height, width), -1, dtype=torch.int32)
    depth = torch.full((n_pictures, height, width), torch.inf, dtype=screen.dtype)
    bands = min(bands_per_picture(n_pictures), height)
    triangles = faces.to(torch.int32).contiguous().numpy()
    arrays = (screen.numpy(), pixels.numpy(), triangles, ids.numpy(), depth.numpy())
    for_each_task(_rasterize_band, n_pictures * bands, bands, *arrays)
    return ids, depth


@compiled()
@no_type_check
def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    """First and last whole k in ``[0, limit)`` whose centre ``k + 0.5`` lies in ``[low, high]``, with the margin."""
    first = np.ceil(max(low - (0.5 + BOX_MARGIN), 0.0))
    last = np.floor(min(high - (0.5 - BOX_MARGIN), limit - 1.0))
    if not first <= last:
        return 1, 0
    return int(first), int(last)


@compiled(error_model="numpy")
@no_type_check
def _rasterize_band(
    task: int,
    bands: int,
    screen: np.ndarray,
    pixels: np.ndarray,
    faces: np.ndarray,
    ids: np.ndarray,
    depth: np.ndarray,
) -> None:
    picture = task // bands
    band = task % bands
    height, width = ids.shape[1], ids.shape[2]
    first_row, end_row = band * height // bands, (band + 1) * height // bands
    one = screen.dtype.type(1.0)
    half = screen.dtype.type(0.5)
    zero = screen.dtype.type(0.0)
    v, pix = screen[picture], pixels[picture]
    z_best, id_best = depth[picture], ids[picture]
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        wa, wb, wc = v[a, 3], v[b, 3], v[c, 3]
        if wa > NEAR_W and wb > NEAR_W and wc > NEAR_W:
            ya, yb, yc = pix[a, 1], pix[b, 1], pix[c, 1]
            row0, row1 = _span(min(ya, yb, yc), max(ya, yb, yc), height)
            if row0 < first_row:
                row0 = first_row
            if row1 >= end_row:
                row1 = end_row - 1
            if row0 > row1:
                continue
            xa, xb, xc = pix[a, 0], pix[b, 0], pix[c, 0]
            col0, col1 = _span(min(xa, xb, xc), max(xa, xb, xc), width)
            if col0 > col1:
                continue
        elif wa > NEAR_W or wb > NEAR_W or wc > NEAR_W:
            row0, row1, col0, col1 = first_row, end_row - 1, 0, width - 1
        else:
            continue
        hxa, hya, za = v[a, 0], v[a, 1], v[a, 2]
        hxb, hyb, zb = v[b, 0], v[b, 1], v[b, 2]
        hxc, hyc, zc = v[c, 0], v[c, 1], v[c, 2]
        for row in range(row0, row1 + 1):
            y = screen.dtype.type(row) + half
            dya, dyb, dyc = hya - y * wa, hyb - y * wb, hyc - y * wc
            for col in range(col0, col1 + 1):
                x = screen.dtype.type(col) + half
                dxa, dxb, dxc = hxa - x * wa, hxb - x * wb, hxc - x * wc
                # exactly opposite in two triangles that share the edge, so no pixel falls between them
                ea = dxb * dyc - dyb * dxc
                eb = dxc * dya - dyc * dxa
                ec = dxa * dyb - dya * dxb
                if not ((ea >= zero and eb >= zero and ec >= zero) or (ea <= zero and eb <= zero and ec <= zero)):
                    continue
                total = (ea + eb) + ec
                z_sum = (ea * za + eb * zb) + ec * zc
                w_sum = (ea * wa + eb * wb) + ec * wc
                if not (w_sum * total > zero):
                    continue
                z = z_sum / w_sum
                if z < -one or z > one:
                    continue
                if z < z_best[row, col]:
                    z_best[row, col] = z
                    id_best[row, col] = t
