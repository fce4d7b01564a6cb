"""Square regions of a photo: where faces are looked for and what the networks are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from recon.io.resample import resample

_TILE_OVERLAP = 0.3
_SMALLEST_IN_TILE = 0.085
"""Nine in ten faces of this part of a tile's side are found in it."""


@dataclasses.dataclass(frozen=True)
class Roi:
    """A square in the photo, turned by ``angle_rad`` (clockwise as seen, since y is down)."""

    x: float
    y: float
    side_px: float
    angle_rad: float

    def to_photo(self, side: int) -> Float[np.ndarray, "3 3"]:
        """From pixels of a crop of this region, ``side`` px wide, to pixels of the photo."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        matrix = np.eye(3)
        matrix[:2, :2] = np.array([[cos, -sin], [sin, cos]]) * (self.side_px / side)
        matrix[:2, 2] = np.array([self.x, self.y]) - matrix[:2, :2] @ np.full(2, side / 2)
        return matrix

    def scaled(self, factor: float) -> Roi:
        return dataclasses.replace(self, side_px=self.side_px * factor)

    def moved(self, matrix: Float[np.ndarray, "3 3"]) -> Roi:
        """The region in the pixels that the similarity ``matrix`` leads to."""
        x, y, _ = (matrix @ [self.x, self.y, 1.0]).tolist()
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        turn = float(np.arctan2(matrix[1, 0], matrix[0, 0]))
        return Roi(x, y, self.side_px * scale, self.angle_rad + turn)

    def distance_px(self, other: Roi) -> float:
        """Between the middles."""
        return float(np.hypot(self.x - other.x, self.y - other.y))


def tile_sides(size: tuple[int, int], min_face_px: float) -> list[float]:
    """Sides of the squares in which a picture of ``size`` (H, W) is searched, from the whole to small ones.

    Each is at least half the one before; in the last, faces of ``min_face_px`` are just large enough.
    """
    whole = float(max(size))
    smallest = min(whole, min_face_px / _SMALLEST_IN_TILE)
    levels = int(np.ceil(np.log2(whole / smallest)))
    return [whole] + [whole * (smallest / whole) ** (level / levels) for level in range(1, levels + 1)]


def tiles(size: tuple[int, int], side_px: float) -> Iterator[Roi]:
    """Overlapping squares that cover a picture of ``size`` (H, W)."""
    for top in _starts(size[0], side_px):
        for left in _starts(size[1], side_px):
            yield Roi(left + side_px / 2, top + side_px / 2, side_px, 0.0)


def _starts(length: int, side: float) -> list[float]:
    if side >= length:
        return [(length - side) / 2]
    count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
    return [float(start) for start in np.linspace(0.0, length - side, count)]


def reduced(
    image: UInt8[np.ndarray, "h w 3"], factor: float
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Float[np.ndarray, "3 3"]]:
    """The picture at 1/factor of its size (never enlarged), and the map from its pixels to those of ``image``."""
    height, width = image.shape[:2]
    scale = max(1.0, factor)
    small = (max(1, round(height / scale)), max(1, round(width / scale)))
    # One scale for both sides: what rounding cuts off the border is less than a pixel of the small picture.
    to_image = np.diag([scale, scale, 1.0])
    return (image if scale == 1.0 else resample(image, to_image, small)), to_image


def picture_size(image: UInt8[np.ndarray, "h w 3"]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def turn_to_photo(size: tuple[int, int], turn_deg: int) -> Float[np.ndarray, "3 3"]:
    """From pixels of the photo turned clockwise to pixels of the photo, whose ``size`` is (H, W)."""
    height, width = size
    return {
        0: np.eye(3),
        90: np.array([[0.0, 1, 0], [-1, 0, height], [0, 0, 1]]),
        180: np.array([[-1.0, 0, width], [0, -1, height], [0, 0, 1]]),
        270: np.array([[0.0, -1, width], [1, 0, 0], [0, 0, 1]]),
    }[turn_deg]
