"""Two cameras side by side, one for colour and one for depth: what the depth camera would have seen in colour, and Pini's crop of heads.

Frames are those of Kinect: x right, y down, z away from the camera, mm.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import map_coordinates

HEAD_MM = 320.0
"""Width and height of the box around a head, and here its depth (Pini et al. 2018, Eq. 6: Rx = Ry = 320)."""
_WINDOW_PX = 10
"""Half side of the square around the head's centre whose mean depth Eq. 6 takes; the paper does not tell its size."""
_HIDDEN_MM = 30.0
"""A point is hidden from the colour camera by what lies nearer to it by more than this."""


@dataclasses.dataclass(frozen=True, eq=False)
class CameraPair:
    """How a depth camera and a colour camera stand to each other.

    Attributes:
        depth_matrix, colour_matrix: ``(3, 3)`` intrinsics, px.
        rotation, translation_mm: ``(3, 3)`` and ``(3,)``: x_colour = rotation x_depth + translation.
    """

    depth_matrix: Float[np.ndarray, "3 3"]
    colour_matrix: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    translation_mm: Float[np.ndarray, " 3"]

    def points(self, depth_mm: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """Of all pixels, in the frame of the colour camera; of those without depth its origin."""
        height, width = depth_mm.shape
        y, x = np.mgrid[0:height, 0:width] + 0.5
        rays = np.stack((x, y, np.ones_like(x)), axis=-1) @ np.linalg.inv(self.depth_matrix).T
        found = (depth_mm[..., None] * rays) @ self.rotation.T + self.translation_mm
        return np.where(depth_mm[..., None] > 0.0, found, 0.0)

    def colour_at_depth(
        self, image: UInt8[np.ndarray, "hc wc 3"], depth_mm: Float[np.ndarray, "h w"]
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
        """The colour of each pixel of a depth picture, and which of them the colour camera sees; others are black.

        Args:
            image: of the colour camera.
            depth_mm: planar depth, 0 where there is none.
        """
        points = self.points(depth_mm)
        away_mm = points[..., 2]
        px = points @ self.colour_matrix.T
        px = px[..., :2] / np.where(away_mm > 0.0, away_mm, 1.0)[..., None]
        height, width = image.shape[:2]
        inside = (away_mm > 0.0) & (px >= 0.5).all(axis=-1) & (px <= [width - 0.5, height - 0.5]).all(axis=-1)
        seen = inside & ~self._hidden(px, away_mm, inside)
        at = [px[..., 1][seen] - 0.5, px[..., 0][seen] - 0.5]
        colour = np.zeros((*depth_mm.shape, 3), np.uint8)
        for channel in range(3):
            values = map_coordinates(image[..., channel].astype(np.float32), at, order=1, mode="nearest")
            colour[seen, channel] = values.round().astype(np.uint8)
        return colour, seen

    def _hidden(self, px: np.ndarray, away_mm: np.ndarray, inside: np.ndarray) -> Bool[np.ndarray, "h w"]:
        """Pixels whose points lie behind others in the colour picture, looked at in cells as large as the depth camera's pixels."""
        share = self.depth_matrix[0, 0] / self.colour_matrix[0, 0]
        cells = np.floor(px * share).astype(np.int64)
        width = int(cells[inside, 0].max(initial=0)) + 1
        numbers = np.where(inside, cells[..., 1] * width + cells[..., 0], 0)
        nearest = np.full(int(numbers.max(initial=0)) + 1, np.inf)
        np.minimum.at(nearest, numbers[inside], away_mm[inside])
        return inside & (away_mm > nearest[numbers] + _HIDDEN_MM)


def head_box(
    depth_mm: Float[np.ndarray, "h w"], centre_px: Float[np.ndarray, " 2"], focal_px: tuple[float, float]
) -> tuple[Int[np.ndarray, " 4"], float] | None:
    """The dynamic crop of Pini et al. 2018 (Eq. 6): a box of 320 mm at the mean depth around the centre of a head.

    Args:
        depth_mm: of the picture, 0 where there is none.
        centre_px: of the head.
        focal_px: of the depth camera in x and y.

    Returns:
        Left, top, right and bottom, cut at the borders of the picture, and the depth; None without depth around the centre, or where
        the centre is not in the picture.
    """
    height, width = depth_mm.shape
    x, y = (float(value) for value in centre_px)
    if not (0.0 <= x < width and 0.0 <= y < height):
        return None
    rows = slice(max(0, int(y) - _WINDOW_PX), int(y) + _WINDOW_PX + 1)
    columns = slice(max(0, int(x) - _WINDOW_PX), int(x) + _WINDOW_PX + 1)
    around = depth_mm[rows, columns]
    if not (around > 0.0).any():
        return None
    mean_mm = float(around[around > 0.0].mean())
    half = 0.5 * HEAD_MM / mean_mm * np.asarray(focal_px)
    box = np.round([x - half[0], y - half[1], x + half[0], y + half[1]]).astype(np.int64)
    return np.clip(box, 0, [width, height, width, height]), mean_mm


def head_mask(
    depth_mm: Float[np.ndarray, "h w"], box: Int[np.ndarray, " 4"], mean_mm: float
) -> Bool[np.ndarray, "h w"]:
    """Pixels of a box that lie within 160 mm of its depth: the head without what is behind it."""
    mask = np.zeros(depth_mm.shape, bool)
    left, top, right, bottom = box
    part = depth_mm[top:bottom, left:right]
    mask[top:bottom, left:right] = (part > 0.0) & (np.abs(part - mean_mm) <= 0.5 * HEAD_MM)
    return mask
