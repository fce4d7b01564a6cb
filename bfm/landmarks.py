"""Topology of the usual 68 face points: which mirror each other, which are eyes, lids and lips, and the five points.

The 68 are those of Multi-PIE and iBUG (Gross et al. 2010; Sagonas et al. 2013), counted from 0: jaw 0 to 16, brows 17 to
26, nose 27 to 35, eyes 36 to 47, outer lips 48 to 59, inner lips 60 to 67. Left and right are the viewer's; within each
group the numbers run from left to right, around eyes and lips clockwise.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from torch import Tensor

N_POINTS_68 = 68

MIRROR_68: tuple[int, ...] = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""For each of the 68 points its partner on the other half of the face; points on the midline are their own."""

NOSE_68: tuple[int, ...] = tuple(range(27, 36))
NOSE_TIP_68 = 30
EYES_68: tuple[tuple[int, ...], tuple[int, ...]] = (tuple(range(36, 42)), tuple(range(42, 48)))
"""The six points around each eye."""
EYE_CORNERS_68: tuple[tuple[int, int], tuple[int, int]] = ((36, 39), (42, 45))
"""Left and right corner of each eye."""
MOUTH_CORNERS_68: tuple[int, int] = (48, 54)
INNER_MOUTH_68: tuple[int, ...] = tuple(range(60, 68))

EYELIDS_68: tuple[tuple[int, int], ...] = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Upper and lower lid, the left eye first."""
INNER_LIPS_68: tuple[tuple[int, int], ...] = ((61, 67), (62, 66), (63, 65))
"""Upper and lower lip, inside."""
OUTER_LIPS_68: tuple[tuple[int, int], ...] = ((50, 58), (51, 57), (52, 56))
"""Upper and lower lip, outside."""
OPENINGS_68: tuple[tuple[int, int], ...] = (*EYELIDS_68, *INNER_LIPS_68, *OUTER_LIPS_68)
"""Pairs of the 68 points whose distance is an opening of eye or mouth."""

FIVE_OF_68: tuple[tuple[int, ...], ...] = (*EYES_68, (NOSE_TIP_68,), *((corner,) for corner in MOUTH_CORNERS_68))
"""Of each of the five points (left eye, right eye, nose tip, left and right mouth corner) those whose mean it is."""


@overload
def five_points_of_68(points68: np.ndarray) -> np.ndarray: ...
@overload
def five_points_of_68(points68: Tensor) -> Tensor: ...
def five_points_of_68(points68: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """The five points ``(..., 5, D)`` that faces are aligned by, from ``(..., 68, D)`` in any unit and frame.

    Raises:
        ValueError: not 68 points.
    """
    if points68.ndim < 2 or points68.shape[-2] != N_POINTS_68:
        raise ValueError(f"the five points follow from 68 points (..., 68, D), got {tuple(points68.shape)}")
    if isinstance(points68, Tensor):
        return torch.stack([points68[..., list(rows), :].mean(dim=-2) for rows in FIVE_OF_68], dim=-2)
    return np.stack([points68[..., list(rows), :].mean(axis=-2) for rows in FIVE_OF_68], axis=-2)
