"""Landmarks of a rendered batch."""

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
    for name in LANDMARK_SETS:
        points = model.landmarks(v_cam, name)
        pixels = camera.to_pixels(points)
        labels[f"landmarks{name}_px"] = pixels
        labels[f"landmarks{name}_cam"] = points
        labels[f"landmarks{name}_visible"] = visible_landmarks(pixels, points, scene_depth_mm)
    return labels


def visible_landmarks(
    pixels: Float[Tensor, "b n 2"], points: Float[Tensor, "b n 3"], scene_depth_mm: Float[Tensor, "b 1 h w"]
) -> Bool[Tensor, "b n"]:
    """Which points are inside the picture, and not behind everything around its pixel: on a silhouette the pixel itself may already show
    something nearer."""
    seen_mm = torch.where(scene_depth_mm > 0.0, scene_depth_mm, torch.inf)[:, 0]
    height, width = seen_mm.shape[1:]
    x, y = pixels.unbind(-1)
    depth = -points[..., 2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (depth > 0)
    flat = seen_mm.flatten(1)
    farthest = torch.zeros_like(depth)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            column = (x.clamp(0, width - 1).long() + across).clamp(0, width - 1)
            row = (y.clamp(0, height - 1).long() + down).clamp(0, height - 1)
            farthest = torch.maximum(farthest, flat.gather(1, row * width + column))
    return inside & (depth <= farthest + _HIDDEN_MM)
