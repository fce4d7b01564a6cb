"""Search for silhouette crossings on the CPU, compiled by numba: the fast twin of ``silhouettes``."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.compiled import compiled
from recon.render.screen import NEAR_W
from recon.render.silhouettes import TOLERANCE, Crossings
from recon.render.threads import bands_per_picture, for_each_task
from recon.render.topology import Topology


def find_crossings(
    triangle_ids: Int[Tensor, "b h w"],
    depth: Float[Tensor, "b h w"],
    pixels: Float[Tensor, "b v 2"],
    w: Float[Tensor, "b v"],
    topology: Topology,
    reach: int,
) -> Crossings:
    """Twin of :func:`recon.render.silhouettes.find_crossings`; the order of the crossings differs."""
    n_pictures, height, width = triangle_ids.shape
    bands = min(bands_per_picture(n_pictures), height)
    n_tasks = n_pictures * bands
    counts = np.zeros(n_tasks, np.int64)
    room = 8 * (width + height)
    inputs = (
        triangle_ids.numpy(),
        depth.numpy(),
        pixels.contiguous().numpy(),
        w.contiguous().numpy(),
        topology.faces.numpy(),
        topology.neighbours.numpy(),
        topology.opposite.numpy(),
    )
    while True:
        found = np.zeros((n_tasks, room, 4), np.int64)
        for_each_task(_find_in_band, n_tasks, bands, reach, *inputs, counts, found)
        if counts.max(initial=0) <= room:
            break
        room = int(counts.max())
    rows = np.concatenate([found[task, : counts[task]] for task in range(n_tasks)])
    near, far, start, end = torch.from_numpy(rows).unbind(-1)
    return Crossings(near, far, start, end)


@compiled()
@no_type_check
def _find_in_band(task, bands, reach, ids, depth, pixels, w, faces, neighbours, opposite, counts, found):
    picture, band = task // bands, task % bands
    _, height, width = ids.shape
    seen, z, pix, mine = ids[picture], depth[picture], pixels[picture], found[task]
    first_pixel, first_vertex = picture * height * width, picture * pixels.shape[1]
    first_row, end_row = band * height // bands, (band + 1) * height // bands
    close = _near_silhouettes(first_row, end_row, width, pix, w[picture], faces, opposite)
    n = 0
    for row in range(first_row, end_row):
        for col in range(width):
            if not close[row - first_row, col]:
                continue
            for vertical in (False, True):
                row1, col1 = (row + 1, col) if vertical else (row, col + 1)
                if row1 >= height or col1 >= width or seen[row, col] == seen[row1, col1]:
                    continue
                if z[row, col] < z[row1, col1]:
                    near_row, near_col, far_row, far_col = row, col, row1, col1
                else:
                    near_row, near_col, far_row, far_col = row1, col1, row, col
                start, end = _follow(
                    seen[near_row, near_col],
                    reach,
                    near_row,
                    near_col,
                    vertical,
                    (far_row - near_row) + (far_col - near_col),
                    pix,
                    w[picture],
                    faces,
                    neighbours,
                    opposite,
                )
                if start < 0:
                    continue
                if n < mine.shape[0]:
                    mine[n, 0] = first_pixel + near_row * width + near_col
                    mine[n, 1] = first_pixel + far_row * width + far_col
                    mine[n, 2] = first_vertex + start
                    mine[n, 3] = first_vertex + end
                n += 1
    counts[task] = n


@compiled()
@no_type_check
def _near_silhouettes(first_row, end_row, width, pix, w, faces, opposite):
    """Pixels of some rows that may be the first of a pair which a silhouette edge crosses.

    Most neighbouring pixels of a dense mesh show different triangles of one smooth surface; leaving those out here
    saves three quarters of the time.
    """
    close = np.zeros((end_row - first_row, width), np.bool_)
    margin = 1.5 + TOLERANCE  # the first centre lies at most 1 + TOLERANCE px before a crossing on the edge
    for face in range(faces.shape[0]):
        for k in range(3):
            i, j, third, other = faces[face, k], faces[face, (k + 1) % 3], faces[face, (k + 2) % 3], opposite[face, k]
            if other >= 0 and _side_of(pix, i, j, third) != _side_of(pix, i, j, other):
                continue
            if not (w[i] > NEAR_W and w[j] > NEAR_W):
                continue
            top = max(min(pix[i, 1], pix[j, 1]) - margin - 0.5, first_row)
            bottom = min(max(pix[i, 1], pix[j, 1]) + margin - 0.5, end_row - 1)
            left = max(min(pix[i, 0], pix[j, 0]) - margin - 0.5, 0)
            right = min(max(pix[i, 0], pix[j, 0]) + margin - 0.5, width - 1)
            if not (top <= bottom and left <= right):
                continue
            for row in range(int(top), int(bottom) + 1):
                for col in range(int(left), int(right) + 1):
                    close[row - first_row, col] = True
    return close


@compiled(error_model="numpy")
@no_type_check
def _follow(face, reach, row, col, vertical, sign, pix, w, faces, neighbours, opposite):
    """Vertices of the silhouette edge that is crossed on the way from the near to the far centre, or (-1, -1)."""
    axis_along, axis_across = (1, 0) if vertical else (0, 1)
    one = pix.dtype.type(1.0)
    half = pix.dtype.type(0.5)
    centre_along = pix.dtype.type(row if vertical else col) + half
    centre_across = pix.dtype.type(col if vertical else row) + half
    direction = pix.dtype.type(sign)
    tolerance = pix.dtype.type(TOLERANCE)
    for _ in range(reach + 1):
        best, edge, steep = -one, -1, False
        for k in range(3):
            i, j = faces[face, k], faces[face, (k + 1) % 3]
            if not (w[i] > NEAR_W):
                return -1, -1
            across_i, across_j = pix[i, axis_across] - centre_across, pix[j, axis_across] - centre_across
            if (across_i >= 0) == (across_j >= 0):
                continue
            along_i = direction * (pix[i, axis_along] - centre_along)
            along_j = direction * (pix[j, axis_along] - centre_along)
            step, slope = across_j - across_i, along_j - along_i
            crossing = along_i - across_i * slope / step
            if edge < 0 or crossing > best:
                best, edge, steep = crossing, k, abs(step) >= abs(slope)
        if edge < 0 or not (best > -tolerance and best < one + tolerance):
            return -1, -1
        i, j, third = faces[face, edge], faces[face, (edge + 1) % 3], faces[face, (edge + 2) % 3]
        other = opposite[face, edge]
        if other < 0 or _side_of(pix, i, j, third) == _side_of(pix, i, j, other):
            return (i, j) if steep else (-1, -1)
        face = neighbours[face, edge]
    return -1, -1


@compiled()
@no_type_check
def _side_of(pix, i, j, point):
    edge_x, edge_y = pix[j, 0] - pix[i, 0], pix[j, 1] - pix[i, 1]
    return edge_x * (pix[point, 1] - pix[i, 1]) - edge_y * (pix[point, 0] - pix[i, 0]) > 0
