"""Visible-triangle search in plain torch, on any device: the readable twin of ``numba_search``.

Every triangle's box is expanded to candidate pixels, all candidates are tested at once, and the nearest of each pixel
is kept by a scatter with minimum. Arithmetic is written in the same order as in the compiled twin, so both give the
same ids to the bit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.screen import NEAR_W, screen_to_pixels

BOX_MARGIN = 1e-3
MAX_CANDIDATES = 1 << 19
"""Pixels tested at once: bounds the memory whatever the picture and the triangles."""


def search(
    screen: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Nearest triangle at every pixel centre; the contract is in :func:`recon.render.rasterize.rasterize`."""
    height, width = size
    n_pictures, n_vertices = screen.shape[:2]
    n_faces, n_pixels = faces.shape[0], n_pictures * height * width
    flat = screen.detach().reshape(-1, 4)
    first_vertex = torch.arange(n_pictures, device=screen.device)[:, None, None] * n_vertices
    corners = (faces[None] + first_vertex).reshape(-1, 3)  # (B F, 3) rows of flat
    rows, columns = _boxes(flat, corners, size)
    n_columns = (columns[:, 1] - columns[:, 0] + 1).clamp(min=0)
    last_candidate = (n_columns * (rows[:, 1] - rows[:, 0] + 1).clamp(min=0)).cumsum(0)
    depth = torch.full((n_pixels,), torch.inf, dtype=screen.dtype, device=screen.device)
    ids = torch.full((n_pixels,), n_faces, dtype=torch.int64, device=screen.device)
    n_candidates = int(last_candidate[-1]) if len(last_candidate) else 0
    for start in range(0, n_candidates, MAX_CANDIDATES):
        candidate = torch.arange(start, min(start + MAX_CANDIDATES, n_candidates), device=screen.device)
        triangle = torch.searchsorted(last_candidate, candidate, right=True)
        in_box = candidate - torch.where(triangle > 0, last_candidate[triangle - 1], 0)
        row = rows[triangle, 0] + torch.div(in_box, n_columns[triangle], rounding_mode="floor")
        column = columns[triangle, 0] + in_box % n_columns[triangle]
        z, inside = _test(flat[corners[triangle]], row, column)
        triangle, z = triangle[inside], z[inside]
        picture = torch.div(triangle, n_faces, rounding_mode="floor")
        pixel = (picture * height + row[inside]) * width + column[inside]
        nearest = depth.scatter_reduce(0, pixel, z, "amin")
        ids = torch.where(nearest < depth, n_faces, ids)
        wins = z == nearest[pixel]
        ids = ids.scatter_reduce(0, pixel[wins], triangle[wins] % n_faces, "amin")
        depth = nearest
    ids = torch.where(ids == n_faces, -1, ids).to(torch.int32)
    return ids.view(n_pictures, height, width), depth.view(n_pictures, height, width)


def _boxes(flat: Tensor, corners: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First and last row ``(T, 2)`` and column ``(T, 2)`` of each triangle; empty spans have last < first."""
    pixels = screen_to_pixels(flat)[corners]  # (T, 3, 2)
    in_front = flat[:, 3][corners] > NEAR_W
    low, high = pixels.amin(1), pixels.amax(1)
    limits = torch.tensor([size[1], size[0]], dtype=flat.dtype, device=flat.device)
    first = torch.ceil((low - (0.5 + BOX_MARGIN)).clamp(min=0.0))
    last = torch.floor(torch.minimum(high - (0.5 - BOX_MARGIN), limits - 1))
    partly, hidden = (in_front.any(1) & ~in_front.all(1))[:, None], ~in_front.any(1)[:, None]
    first, last = torch.where(partly, 0.0, first), torch.where(partly, limits - 1, last)
    nothing = hidden | ~(first <= last).all(1, keepdim=True)
    first, last = torch.where(nothing, 1.0, first).long(), torch.where(nothing, 0.0, last).long()
    spans = torch.stack((first, last), dim=-1)  # (T, xy, first/last)
    return spans[:, 1], spans[:, 0]


def _test(v: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Depth z / w and whether the pixel centre is inside, for corners ``(N, 3, 4)`` against one pixel each."""
    x, y = (column.to(v.dtype) + 0.5)[:, None], (row.to(v.dtype) + 0.5)[:, None]
    w = v[..., 3]
    dx, dy = v[..., 0] - x * w, v[..., 1] - y * w
    after, before = [1, 2, 0], [2, 0, 1]
    edge = dx[:, after] * dy[:, before] - dy[:, after] * dx[:, before]
    same_side = (edge >= 0).all(1) | (edge <= 0).all(1)
    total = (edge[:, 0] + edge[:, 1]) + edge[:, 2]
    z_terms, w_terms = edge * v[..., 2], edge * w
    z_sum = (z_terms[:, 0] + z_terms[:, 1]) + z_terms[:, 2]
    w_sum = (w_terms[:, 0] + w_terms[:, 1]) + w_terms[:, 2]
    in_front = w_sum * total > 0
    z = z_sum / torch.where(in_front, w_sum, 1)
    return z, same_side & in_front & (z >= -1) & (z <= 1)
