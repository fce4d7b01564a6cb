"""Tables of smooth random values, and look-ups in them that repeat without a seam."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

_LATTICE = 32
_TILE = 512
_LINE = 4096


@functools.lru_cache(maxsize=4)
def noise_volume(device: torch.device) -> Float[Tensor, "1 2 n n n"]:
    """Two channels of N(0, 1) on a lattice that repeats; one more layer on each side closes it."""
    generator = torch.Generator().manual_seed(20_26)
    values = torch.randn(2, _LATTICE, _LATTICE, _LATTICE, generator=generator)
    for axis in (1, 2, 3):
        values = torch.cat((values, values.narrow(axis, 0, 1)), dim=axis)
    return values[None].to(device)


def solid_noise(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 2"]:
    """Two smooth noises at points in space, mean 0, with cells of size 1; repeats every 32 cells.

    Trilinear between lattice values, so the spread is below 1 between lattice points.
    """
    volume = noise_volume(points.device)
    where = (points - _LATTICE * torch.floor(points / _LATTICE)) * (2.0 / _LATTICE) - 1.0
    found = torch.nn.functional.grid_sample(volume, where.view(1, 1, 1, -1, 3), mode="bilinear", align_corners=True)
    return found.view(2, -1).T


@functools.lru_cache(maxsize=4)
def grain_tile(device: torch.device) -> Float[Tensor, "3 n n"]:
    """White noise N(0, 1) to cut pieces from."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(3, _TILE, _TILE, generator=generator).to(device)


@functools.lru_cache(maxsize=4)
def smooth_grain_tile(device: torch.device) -> Float[Tensor, "3 n n"]:
    """The tile smoothed over 3 x 3, about as strong as before."""
    closed = torch.nn.functional.pad(grain_tile(device)[None], (1, 1, 1, 1), mode="circular")
    return torch.nn.functional.avg_pool2d(closed, 3, stride=1)[0] * 2.2


def grain(
    tile: Float[Tensor, "c n n"], rows: Int[Tensor, " b"], columns: Int[Tensor, " b"], size: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """Pieces of a noise tile that begin at row and column ``(B,)``."""
    height, width = size
    down = (rows[:, None] + torch.arange(height, device=rows.device)) % tile.shape[1]
    across = (columns[:, None] + torch.arange(width, device=rows.device)) % tile.shape[2]
    return tile[:, down[:, :, None], across[:, None, :]].transpose(0, 1)


@functools.lru_cache(maxsize=4)
def line_table(device: torch.device) -> Float[Tensor, " n"]:
    """Random values in [0, 1), one a cell."""
    generator = torch.Generator().manual_seed(11)
    return torch.rand(_LINE, generator=generator).to(device)


def line_noise(where: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Smooth noise on a line, [0, 1], with cells of size 1; repeats every 4096 cells."""
    line = line_table(where.device)
    cell = torch.floor(where)
    share = where - cell
    first = cell.long() % _LINE
    a, b = line[first], line[(first + 1) % _LINE]
    return a + (b - a) * (share * share * (3.0 - 2.0 * share))
