"""The face of a video in a canonical crop that stays still while it speaks, and the rectangle of the crop that speech moves.

Crop and rectangle follow from points that the jaw does not move: a rectangle that followed the jaw would tell a network what it should hear
("if the jaw contour is visible to the network, it will learn to predict the lip movements based on the jaw alone", Basak's thesis, 6.1.3).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.alignment import planar_angle, scaled_orthography
from recon.io.resample import resample

SMOOTHED_FRAMES = 7
"""Frames over which points are averaged (Bigioi et al. 2024, section 3.5)."""
STEADY_POINTS = (27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)
"""Of the 68: bridge and base of the nose, corners of the eyes."""
STEADY_POINTS_MM = np.array(
    [
        *([0.0, 1.5, 21.0], [0.0, -14.0, 31.5], [0.0, -27.5, 40.0], [0.0, -35.5, 44.0]),
        *([-11.5, -45.0, 23.5], [-7.0, -48.5, 27.5], [0.0, -48.5, 29.5], [7.0, -48.5, 27.5], [11.5, -45.0, 23.5]),
        *([-44.5, -1.5, 3.0], [-16.5, -3.0, 8.0], [16.5, -3.0, 8.0], [44.5, -1.5, 3.0]),
    ]
)
"""``(13, 3)`` the same on the mean head of our open model, rounded: x to the viewer's right, y up, z to the viewer."""
_SIDE_MM = 160.0
"""What a crop shows at the face."""
_ANCHOR_MM = (0.0, -62.0, 22.0)
"""A point above the upper lip: it lies in the middle of the crop."""
_BELOW_NOSE_MM = (0.0, -54.0, 29.0)
_JAW_MM = ((-76.0, -30.0, -66.0), (76.0, -30.0, -66.0), (-64.0, -82.0, -50.0), (64.0, -82.0, -50.0))
"""Where the widest of a mean jaw is; it is hidden with a margin."""
_MARGIN = 0.02
_FEATHER, _CORNER = 0.06, 0.22
"""In shares of the crop's side: over how much an edit fades into the frame, and the radius of its corners, in which there is no jaw."""


LEAST_SHOWN = 0.5
"""Share of what is hidden that must lie in a frame for there to be a mouth."""


class MouthCropError(ValueError):
    """Points from which no crop follows, or a rectangle that is not in the picture."""


@dataclasses.dataclass(frozen=True, eq=False)
class MouthCrop:
    """The crop of one frame. Crop coordinates are shares of its side: x right, y down, from 0 to 1.

    Attributes:
        crop_from_frame: ``(3, 3)`` similarity: crop = crop_from_frame @ (x, y, 1) px of the frame.
        hidden: left, top, right, bottom of what is drawn anew, in shares of the side.
    """

    crop_from_frame: Float[np.ndarray, "3 3"]
    hidden: tuple[float, float, float, float]

    def picture(self, frame: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
        """The crop with ``size`` px a side, antialiased; black where it reaches beyond the frame."""
        return resample(frame, self._frame_from_px(size), (size, size))

    def points(self, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points from pixels of the frame to shares of the crop's side."""
        return points_px @ self.crop_from_frame[:2, :2].T + self.crop_from_frame[:2, 2]

    def hidden_px(self, size: int) -> tuple[int, int, int, int]:
        """First column and row, and those after the last, of what is hidden in a crop of ``size`` px."""
        left, top, right, bottom = self.hidden
        return math.floor(left * size), math.floor(top * size), math.ceil(right * size), math.ceil(bottom * size)

    def shown_share(self, size: tuple[int, int]) -> float:
        """Share of what is hidden that lies in a frame of (H, W) px."""
        left, top, right, bottom = self.hidden
        x, y = np.meshgrid(np.linspace(left, right, 16), np.linspace(top, bottom, 16))
        back = np.linalg.inv(self.crop_from_frame)
        at_px = np.stack((x, y), axis=-1) @ back[:2, :2].T + back[:2, 2]
        inside = (at_px >= 0.0) & (at_px <= np.array([size[1], size[0]], dtype=np.float64))
        return float(inside.all(axis=-1).mean())

    def pasted(
        self,
        frame: UInt8[np.ndarray, "h w 3"],
        crop: UInt8[np.ndarray, "s s 3"],
        share: Float[np.ndarray, "l l"] | None = None,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The frame with what a crop shows where it was hidden, but for round corners; the edge fades, and all else stays as it was to the
        bit.

        Args:
            frame: of which the crop is.
            crop: ``(S, S, 3)``.
            share: ``(L, L)`` over the crop, how much of it is taken: 0 keeps the frame, 1 takes the crop; ``None``: 1.
        """
        height, width = frame.shape[:2]
        size = crop.shape[0]
        px_from_frame = np.diag([size, size, 1.0]) @ self.crop_from_frame
        drawn = resample(crop, px_from_frame, (height, width)).astype(np.float64)
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        at = self.points(np.stack((x, y), axis=-1))
        inside = _depth_inside(at, self.hidden)
        weight = np.clip(inside / _FEATHER, 0.0, 1.0)[..., None]
        if share is not None:
            codes = np.repeat(np.rint(255.0 * share).astype(np.uint8)[..., None], 3, axis=2)
            px_of_share = np.diag([len(share), len(share), 1.0]) @ self.crop_from_frame
            weight = weight * resample(codes, px_of_share, (height, width))[..., :1] / 255.0
        mixed = weight * drawn + (1.0 - weight) * frame
        return np.where(weight > 0.0, np.rint(mixed), frame).astype(np.uint8)

    def _frame_from_px(self, size: int) -> Float[np.ndarray, "3 3"]:
        return np.linalg.inv(np.diag([size, size, 1.0]) @ self.crop_from_frame)


def _depth_inside(
    at: Float[np.ndarray, "*n 2"], rectangle: tuple[float, float, float, float]
) -> Float[np.ndarray, "*n"]:
    """How deep points lie in a rectangle with round corners; negative outside."""
    low, high = np.array(rectangle[:2]), np.array(rectangle[2:])
    radius = min(_CORNER, 0.5 * float((high - low).min()))
    beyond = np.abs(at - 0.5 * (low + high)) - 0.5 * (high - low) + radius
    outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=-1)
    return radius - outside - np.minimum(beyond.max(axis=-1), 0.0)


def smoothed(values: Float[np.ndarray, "t ..."], frames: int = SMOOTHED_FRAMES) -> Float[np.ndarray, "t ..."]:
    """Means over a window about each frame, which is shorter at both ends, as far to the one side as to the other."""
    reach = frames // 2
    n = len(values)
    half = np.minimum(np.minimum(np.arange(n), n - 1 - np.arange(n)), reach)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    count = (2 * half + 1).reshape(-1, *([1] * (values.ndim - 1)))
    return (sums[np.arange(n) + half + 1] - sums[np.arange(n) - half]) / count


def mouth_crops(points68_px: Float[np.ndarray, "t 68 2"]) -> list[MouthCrop]:
    """The crops of a video.

    Args:
        points68_px: ``(T, 68, 2)`` of one face in consecutive frames.

    Raises:
        MouthCropError: points that are no numbers, or that lie on a line.
    """
    if points68_px.ndim != 3 or points68_px.shape[1:] != (68, 2) or not np.isfinite(points68_px).all():
        raise MouthCropError(f"crops follow from finite points (T, 68, 2), got {points68_px.shape}")
    if len(points68_px) == 0:
        return []
    steady = torch.from_numpy(smoothed(points68_px[:, STEADY_POINTS].astype(np.float64)))
    template = torch.from_numpy(STEADY_POINTS_MM)
    rows, origin_px = (found.numpy() for found in scaled_orthography(template, steady))
    flat = torch.from_numpy(STEADY_POINTS_MM[:, :2] * [1.0, -1.0])[None].expand(len(steady), -1, -1)
    roll_rad = planar_angle(flat, steady).numpy()
    return [_crop(rows[k], origin_px[k], float(roll_rad[k])) for k in range(len(steady))]


def _crop(rows: Float[np.ndarray, "2 3"], origin_px: Float[np.ndarray, " 2"], roll_rad: float) -> MouthCrop:
    px_per_mm = float(np.linalg.norm(rows, axis=1).mean())
    if not px_per_mm > 1e-6:
        raise MouthCropError("points on one spot or line show no face")
    scale = 1.0 / (_SIDE_MM * px_per_mm)
    cos, sin = math.cos(-roll_rad), math.sin(-roll_rad)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[cos, -sin], [sin, cos]])
    matrix[:2, 2] = 0.5 - matrix[:2, :2] @ (rows @ np.array(_ANCHOR_MM) + origin_px)
    crop = MouthCrop(matrix, (0.0, 0.0, 1.0, 1.0))
    top = crop.points(rows @ np.array(_BELOW_NOSE_MM) + origin_px)[1]
    jaw = crop.points(np.array(_JAW_MM) @ rows.T + origin_px)[:, 0]
    hidden = (
        min(max(float(jaw.min()) - _MARGIN, 0.0), 0.4),
        min(max(float(top), 0.2), 0.6),
        max(min(float(jaw.max()) + _MARGIN, 1.0), 0.6),
        1.0,
    )
    return dataclasses.replace(crop, hidden=hidden)
