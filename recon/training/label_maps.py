"""Depth, normals and segments of drawn faces in the few bytes in which a cache keeps them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.synthesis.sample import FaceBatch

MAP_NAMES = ("depth", "normals", "segments")
"""Of the files, one a block."""
STEP_MM = 0.02
"""Of the depth; with 16 bits it reaches 65 cm before and behind the head's origin."""
_MIDDLE = 32768


def packed_maps(faces: FaceBatch) -> dict[str, np.ndarray]:
    """By name: ``depth`` uint16 ``(N, S, S)``, of what is seen, in steps from the head's origin, 0 where nothing is or beyond reach;
    ``normals`` int8 ``(N, S, S, 3)`` of the head where it is seen, otherwise 0; ``segments`` uint8 ``(N, S, S)``."""
    behind_mm = faces.scene_depth_mm[:, 0] + faces.translation_mm[:, 2, None, None]
    steps = (behind_mm / STEP_MM).round() + _MIDDLE
    held = (faces.scene_depth_mm[:, 0] > 0.0) & (steps >= 1.0) & (steps < 2.0 * _MIDDLE)
    normals = (127.0 * torch.where(faces.mask, faces.normals, 0.0)).round()
    return {
        "depth": torch.where(held, steps, 0.0).cpu().numpy().astype(np.uint16),
        "normals": normals.permute(0, 2, 3, 1).cpu().numpy().astype(np.int8),
        "segments": faces.segmentation.cpu().numpy().astype(np.uint8),
    }


def unpacked_depth_mm(steps: np.ndarray, origin_mm: Float[Tensor, " b"]) -> Float[Tensor, "b 1 s s"]:
    """Planar depth, 0 where it is not known.

    Args:
        steps: as :func:`packed_maps` has them.
        origin_mm: planar depth of the heads' origins.
    """
    values = torch.from_numpy(steps.astype(np.float32))[:, None]
    return torch.where(values > 0.0, STEP_MM * (values - _MIDDLE) + origin_mm[:, None, None, None], 0.0)


def unpacked_normals(packed: np.ndarray) -> Float[Tensor, "b 3 s s"]:
    """Unit normals, 0 where there are none."""
    normals = torch.from_numpy(packed.astype(np.float32)).permute(0, 3, 1, 2)
    return torch.nn.functional.normalize(normals, dim=1)


def unpacked_segments(packed: np.ndarray) -> Int[Tensor, "b s s"]:
    """Indices into :data:`recon.synthesis.sample.SEGMENT_NAMES`."""
    return torch.from_numpy(packed.astype(np.int64))
