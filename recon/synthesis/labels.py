"""Landmarks and maps of a drawn batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera

LANDMARK_SETS = ("68", "478", "520")
_HIDDEN_MM = 6.0
"""A point farther than this behind what is seen at its pixel is hidden."""


def landmark_labels(
    model: MorphableModel,
    v_cam: Float[Tensor, "b v 3"],
    camera: PerspectiveCamera,
    scene_depth_mm: Float[Tensor, "b 1 h w"],
) -> dict[str, Tensor]:
    """``landmarks<set>_px``, ``_cam`` and ``_visible`` of every set."""
    labels: dict[str, Tensor] = {}
    farthest = _farthest_near(scene_depth_mm)
    for name in LANDMARK_SETS:
        points = model.landmarks(v_cam, name)
        pixels = camera.to_pixels(points)
        labels[f"landmarks{name}_px"] = pixels
        labels[f"landmarks{name}_cam"] = points
        labels[f"landmarks{name}_visible"] = _visible(pixels, points, farthest)
    return labels


def _farthest_near(scene_depth_mm: Tensor) -> Float[Tensor, "b h w"]:
    """The largest depth around each pixel: on a silhouette the pixel of a point may already show something nearer."""
    depth = torch.where(scene_depth_mm > 0.0, scene_depth_mm, torch.inf)
    return torch.nn.functional.max_pool2d(depth, 3, stride=1, padding=1)[:, 0]


def _visible(
    pixels: Float[Tensor, "b n 2"], points: Float[Tensor, "b n 3"], farthest: Float[Tensor, "b h w"]
) -> Bool[Tensor, "b n"]:
    height, width = farthest.shape[1:]
    x, y = pixels.unbind(-1)
    depth = -points[..., 2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (depth > 0)
    column, row = x.clamp(0, width - 1).long(), y.clamp(0, height - 1).long()
    seen = farthest.flatten(1).gather(1, row * width + column)
    return inside & (depth <= seen + _HIDDEN_MM)
