"""Single hairs for path tracing: curves that run from the scalp through the volume below the hair sheet to its tips."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float

from bfm.model import MorphableModel
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.hair import STYLES, HairSheet, Hairstyles, hair_sheet

_POINTS = 14
_LENGTH_MM = {"short": (18.0, 45.0), "fringe": (40.0, 90.0), "swept": (50.0, 110.0), "curly": (40.0, 120.0)}
"""Lengths of hairs by style; those of other styles reach the tips of the sheet."""
_FRONT_RAD = 0.9
_RISE_MM = 9.0
"""Way along which a hair rises from the skin to its layer."""
_RADIUS_MM = (0.12, 0.04)
"""At root and tip. Real hairs are a third as thick, and four times as many."""


@dataclasses.dataclass(frozen=True, eq=False)
class Strands:
    """S hairs of one head.

    Attributes:
        points: ``(S, P, 3)`` mm, object frame, root first.
        radius_mm: ``(S, P)``.
        shade: ``(S,)`` factor of the hair's colour.
    """

    points: Float[np.ndarray, "s p 3"]
    radius_mm: Float[np.ndarray, "s p"]
    shade: Float[np.ndarray, " s"]


def grow(
    sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng, model: MorphableModel, v_obj: torch.Tensor, count: int
) -> Strands:
    """Hairs of one person.

    Args:
        sheet: of the model.
        hairstyles: of a batch of one.
        rng: of the person.
        model: of the head.
        v_obj: ``(1, V, 3)`` mm.
        count: how many hairs.
    """
    flat, _ = hair_sheet(sheet, hairstyles, rng, v_obj, model.faces)
    columns = len(sheet.azimuth)
    outer = flat[0].reshape(-1, columns, 3).double().cpu().numpy()
    inner = sheet.scalp.at(v_obj)[0].reshape(-1, columns, 3).double().cpu().numpy()
    rows, roots = len(outer), len(inner)
    depth = np.concatenate([outer[:roots] - inner, np.repeat((outer - np.pad(inner, ((0, rows - roots), (0, 0), (0, 0)), "edge"))[roots - 1 : roots], rows - roots, 0)])  # fmt: skip
    random = np.random.default_rng(int(rng.integer("strand seed", 2**31 - 1)[0]))
    column = random.uniform(0.0, columns - 1.0, count)
    nearest = column.round().astype(int)
    back = _combed_back(hairstyles, random, sheet.azimuth.cpu().numpy()[nearest])
    # As many roots on each patch of skin; the hairline is not a sharp edge.
    root = (roots - 1) * np.sqrt(random.uniform(0.0, 1.0, count))
    root = np.clip(root - np.abs(random.normal(0.0, np.where(back, 0.5, 0.25))), 0.0, roots - 1.0)
    along = np.concatenate([np.zeros((1, columns)), np.linalg.norm(np.diff(outer, axis=0), axis=-1).cumsum(axis=0)])
    start = _read(along[..., None], root, nearest.astype(float))[:, 0]
    reach = start + np.where(back, -1.0, 1.0) * _lengths(hairstyles, random, count)
    end = np.array([np.interp(s, along[:, c], np.arange(rows)) for s, c in zip(reach, nearest, strict=True)])
    ragged = np.abs(random.normal(0.0, 0.35, count))
    end = np.where(back, np.minimum(np.maximum(end, 0.6) + ragged, root - 0.2), np.maximum(end - ragged, root + 0.3))
    end = np.maximum(end, 0.05)
    share = np.linspace(0.0, 1.0, _POINTS)
    row = root[:, None] + share * (end - root)[:, None]
    lock = _lock_of(random, column)
    drift = (random.normal(0.0, 0.35, count) + 0.8 * lock)[:, None] * share**1.5
    place = np.clip(column[:, None] + drift, 0.0, columns - 1.0)
    surface, below = (_read(grid, row.ravel(), place.ravel()).reshape(count, _POINTS, 3) for grid in (outer, depth))
    way = _read(along[..., None], row.ravel(), place.ravel()).reshape(count, _POINTS) - start[:, None]
    way = np.abs(way)
    layer = random.beta(2.2, 1.1, count) + 0.10 * lock
    lift = layer[:, None] * (1.0 - np.exp(-way / _RISE_MM))
    points = surface - (1.0 - lift)[..., None] * below
    points += _waves(random, way, float(hairstyles.curl[0]), count)
    thin = _RADIUS_MM[0] + (_RADIUS_MM[1] - _RADIUS_MM[0]) * share**2
    shade = np.exp(0.25 * random.normal(0.0, 1.0, count) + 0.14 * lock + 0.05)
    return Strands(points, np.broadcast_to(thin, (count, _POINTS)).copy(), shade)


def _combed_back(hairstyles: Hairstyles, random: np.random.Generator, azimuth: np.ndarray) -> np.ndarray:
    """Which hairs run from the forehead to the crown: those in front, of people without a fringe."""
    front = 1.0 / (1.0 + np.exp((np.abs(azimuth) - _FRONT_RAD) / 0.12))
    without = STYLES[int(hairstyles.style[0])] != "curly" and float(hairstyles.fringe[0]) < 0.25
    return (random.uniform(0.0, 1.0, len(azimuth)) < front) & without


def _lengths(hairstyles: Hairstyles, random: np.random.Generator, count: int) -> np.ndarray:
    low, high = _LENGTH_MM.get(STYLES[int(hairstyles.style[0])], (1e4, 1e4))
    return random.uniform(low, high, count)


def _lock_of(random: np.random.Generator, column: np.ndarray) -> np.ndarray:
    """A random number that hairs growing side by side share, N(0, 1)."""
    values = random.normal(0.0, 1.0, 190)
    return values[(column * (len(values) - 1) / max(column.max(), 1.0)).astype(int)]


def _waves(random: np.random.Generator, way: np.ndarray, curl: float, count: int) -> np.ndarray:
    """Helices and small irregularities that grow with the distance from the root."""
    phase = random.uniform(0.0, 2.0 * np.pi, (count, 3))
    turns = 2.0 * np.pi / random.uniform(9.0, 22.0, count)[:, None]
    grown = 1.0 - np.exp(-way / 12.0)
    size = (0.25 + 4.5 * curl**2) * grown
    return np.stack([size * np.sin(turns * way + phase[:, k : k + 1]) for k in range(3)], axis=-1)


def _read(grid: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bilinear values of ``(R, C, k)`` at places ``(n,)``."""
    r, c = np.minimum(row.astype(int), len(grid) - 2), np.minimum(column.astype(int), grid.shape[1] - 2)
    down, across = (row - r)[:, None], (column - c)[:, None]
    upper = grid[r, c] * (1.0 - across) + grid[r, c + 1] * across
    lower = grid[r + 1, c] * (1.0 - across) + grid[r + 1, c + 1] * across
    return upper * (1.0 - down) + lower * down
