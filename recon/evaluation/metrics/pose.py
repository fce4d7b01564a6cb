"""Errors of head poses. Angles of data sets are in :mod:`recon.datasets.pose_conventions`."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from recon.rotation import rotation_angle


def angle_differences(
    predicted_deg: Float[np.ndarray, "*n 3"], true_deg: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n 3"]:
    """Absolute differences in degrees, the short way round: [0, 180]."""
    difference = np.asarray(predicted_deg, dtype=np.float64) - np.asarray(true_deg, dtype=np.float64)
    return np.abs((difference + 180.0) % 360.0 - 180.0)


def geodesic_deg(first: Float[np.ndarray, "3 3"], second: Float[np.ndarray, "3 3"]) -> float:
    """Angle in degrees of the rotation between two rotations, [0, 180], accurate near 0 and near 180."""
    both = (torch.tensor(np.asarray(rotation, dtype=np.float64)) for rotation in (first, second))
    return float(torch.rad2deg(rotation_angle(*both)))
