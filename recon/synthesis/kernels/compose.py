"""Compiled CPU kernels of the steps in ``compose``; one picture a task."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, no_type_check

import numpy as np
import torch
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import for_each_task
from recon.synthesis.kernels.arrays import as_arrays

_COVERED, _OVER_HEAD = 1, 2


class OccluderPixels(NamedTuple):
    """P visible points of occluders: where ``occluder_points.OccluderPoints`` has them, and their colour as lit."""

    pixel_index: Any
    colour: Any
    opacity: Any
    position: Any
    segment: Any


class LayerImages(NamedTuple):
    """Fields of ``compose.Layers``."""

    front: Any
    back: Any
    segmentation: Any
    depth_mm: Any
    visible: Any


def sorted_layers(
    starts: tuple[int, ...],
    points: OccluderPixels,
    background: Tensor,
    segmentation: Tensor,
    depth_mm: Tensor,
    opaque: float,
) -> LayerImages:
    """Kernel of ``compose.sorted_layers``; ``starts`` are B + 1 offsets of the pictures' points."""
    batch, _, height, width = background.shape
    front = background.new_zeros(batch, height, width, 4)
    back = background.permute(0, 2, 3, 1).contiguous()
    if back.data_ptr() == background.data_ptr():
        back = back.clone()
    out = LayerImages(front, back, segmentation.clone(), depth_mm.clone(), depth_mm > 0.0)
    arrays = (np.asarray(starts, np.int64), as_arrays(points), depth_mm.numpy())
    for_each_task(_sorted_layers, batch, *arrays, np.float32(opaque), as_arrays(out))
    return out


def with_head(
    back: Tensor,
    starts: tuple[int, ...],
    pixel_index: Tensor,
    colour: Tensor,
    means: Tensor,
    cell: int,
    strength: float,
) -> Tensor:
    """``(B, H, W, 3)``; ``means`` ``(B, r, c)`` are opacities in cells of ``cell`` px."""
    out = back.clone(memory_format=torch.contiguous_format)
    arrays = (np.asarray(starts, np.int64), pixel_index.numpy(), colour.numpy(), means.contiguous().numpy())
    for_each_task(_with_head, len(back), *arrays, cell, np.float32(strength), out.numpy())
    return out


def with_front(picture: Tensor, front: Tensor) -> Tensor:
    """``(B, 3, H, W)``."""
    batch, height, width, _ = picture.shape
    out = picture.new_zeros(batch, 3, height, width)
    for_each_task(_with_front, batch, picture.contiguous().numpy(), front.contiguous().numpy(), out.numpy())
    return out


@compiled()
@no_type_check
def _sorted_layers(k, starts, points, head_depth_mm, opaque, out):
    _, height, width = head_depth_mm.shape
    zero, one = np.float32(0.0), np.float32(1.0)
    state = np.zeros((height, width), np.uint8)
    first = k * height * width
    for p in range(starts[k], starts[k + 1]):
        if points.opacity[p] > zero:
            row, col = divmod(points.pixel_index[p] - first, width)
            behind_it = head_depth_mm[k, row, col]
            over = behind_it > zero and -points.position[p, 2] < behind_it
            state[row, col] = _OVER_HEAD if over else _COVERED
    for p in range(starts[k], starts[k + 1]):
        a = points.opacity[p]
        if not a > zero:
            continue
        row, col = divmod(points.pixel_index[p] - first, width)
        beside = not head_depth_mm[k, row, col] > zero
        in_front = state[row, col] == _OVER_HEAD
        if beside:
            for i in range(max(row - 1, 0), min(row + 2, height)):
                for j in range(max(col - 1, 0), min(col + 2, width)):
                    in_front |= state[i, j] == _OVER_HEAD
        if in_front:
            for c in range(3):
                out.front[k, row, col, c] = points.colour[p, c] * a
            out.front[k, row, col, 3] = a
        else:
            for c in range(3):
                out.back[k, row, col, c] = out.back[k, row, col, c] * (one - a) + points.colour[p, c] * a
        if a > opaque and (in_front or beside):
            out.segmentation[k, row, col] = points.segment[p]
            out.depth_mm[k, row, col] = -points.position[p, 2]
            out.visible[k, row, col] = False


@compiled()
@no_type_check
def _with_head(k, starts, pixel_index, colour, means, cell, strength, picture):
    _, height, width, _ = picture.shape
    _, rows, cols = means.shape
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    first, step = k * height * width, one / np.float32(cell)
    for p in range(starts[k], starts[k + 1]):
        row, col = divmod(pixel_index[p] - first, width)
        dim = one
        if strength > zero:
            # bilinear between the centres of cells, the outermost repeated
            y = max((np.float32(row) + half) * step - half, zero)
            x = max((np.float32(col) + half) * step - half, zero)
            i, j = int(math.floor(y)), int(math.floor(x))
            v, u = y - np.float32(i), x - np.float32(j)
            i1, j1 = min(i + 1, rows - 1), min(j + 1, cols - 1)
            upper = means[k, i, j] * (one - u) + means[k, i, j1] * u
            lower = means[k, i1, j] * (one - u) + means[k, i1, j1] * u
            dim = one - strength * (upper * (one - v) + lower * v)
        for c in range(3):
            picture[k, row, col, c] = max(colour[p, c] * dim, zero)


@compiled()
@no_type_check
def _with_front(k, picture, front, out):
    _, height, width, _ = picture.shape
    for row in range(height):
        for col in range(width):
            rest = np.float32(1.0) - front[k, row, col, 3]
            for c in range(3):
                out[k, c, row, col] = picture[k, row, col, c] * rest + front[k, row, col, c]
