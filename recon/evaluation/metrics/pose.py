"""Errors of head poses, and the angle conventions of the data sets.

All rotations are of our camera frame (x right, y up, z towards the viewer, the head facing +z). A convention says which
three numbers a data set writes for such a rotation:

- ``zyx``: ours and that of Eq. 9 of the head pose paper, R = Rz(roll) Ry(yaw) Rx(pitch).
- ``xyz``: Eq. 7 of the same paper as printed, R = Rx(pitch) Ry(yaw) Rz(roll). Eq. 9 does not invert it.
- ``300wlp``: ``Pose_Para`` of 300W-LP and AFLW2000-3D (Zhu et al. 2016), R = Rx(-pitch) Ry(-yaw) Rz(-roll).
- ``biwi``: angles of FSA-Net's BIWI labels (Yang et al. 2019), taken from the transposed matrix of the Kinect frame (y
  down, z away), where roll and yaw change their sign.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CONVENTIONS = ("zyx", "xyz", "300wlp", "biwi")

_FLIP_Y_Z = np.diag([1.0, -1.0, -1.0])


def angles_to_matrix(angles_deg: Float[np.ndarray, " 3"], convention: str = "zyx") -> Float[np.ndarray, "3 3"]:
    """Rotation of (yaw, pitch, roll) in degrees.

    Raises:
        ValueError: an unknown convention.
    """
    yaw, pitch, roll = np.deg2rad(np.asarray(angles_deg, dtype=np.float64))
    if convention == "zyx":
        return _rz(roll) @ _ry(yaw) @ _rx(pitch)
    if convention == "xyz":
        return _rx(pitch) @ _ry(yaw) @ _rz(roll)
    if convention == "300wlp":
        return _rx(-pitch) @ _ry(-yaw) @ _rz(-roll)
    if convention == "biwi":
        return _FLIP_Y_Z @ (_rz(-roll) @ _ry(-yaw) @ _rx(pitch)).T @ _FLIP_Y_Z
    raise ValueError(f"unknown angle convention {convention!r}; known: {', '.join(CONVENTIONS)}")


def matrix_to_angles(rotation: Float[np.ndarray, "3 3"], convention: str = "zyx") -> Float[np.ndarray, " 3"]:
    """(yaw, pitch, roll) in degrees of a rotation, yaw within +-90.

    Raises:
        ValueError: an unknown convention.
    """
    r = np.asarray(rotation, dtype=np.float64)
    if convention == "zyx":
        angles = _fixed_axes(r)
    elif convention == "xyz":
        angles = -_fixed_axes(r.T)  # (Rx Ry Rz)^T = Rz(-roll) Ry(-yaw) Rx(-pitch)
    elif convention == "300wlp":
        angles = _fixed_axes(r.T)
    elif convention == "biwi":
        angles = _fixed_axes((_FLIP_Y_Z @ r @ _FLIP_Y_Z).T) * np.array([-1.0, 1.0, -1.0])
    else:
        raise ValueError(f"unknown angle convention {convention!r}; known: {', '.join(CONVENTIONS)}")
    return np.rad2deg(angles)


def angle_differences(
    predicted_deg: Float[np.ndarray, "*n 3"], true_deg: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n 3"]:
    """Absolute differences in degrees, the short way round: [0, 180]."""
    gap = np.asarray(predicted_deg, dtype=np.float64) - np.asarray(true_deg, dtype=np.float64)
    return np.abs((gap + 180.0) % 360.0 - 180.0)


def geodesic_deg(first: Float[np.ndarray, "3 3"], second: Float[np.ndarray, "3 3"]) -> float:
    """Angle in degrees of the rotation between two rotations, [0, 180], accurate near 0 and near 180."""
    chord = float(np.linalg.norm(np.asarray(first, dtype=np.float64) - second))  # = 2 sqrt(2) sin(angle / 2)
    half = float(np.arcsin(np.clip(chord / (2.0 * np.sqrt(2.0)), 0.0, 1.0)))
    return float(np.rad2deg(2.0 * half))


def _fixed_axes(r: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """yaw, pitch, roll in radians of R = Rz Ry Rx (Eq. 9 with atan2)."""
    horizontal = np.hypot(r[2, 1], r[2, 2])
    yaw = np.arctan2(-r[2, 0], horizontal)
    if horizontal < 1e-9:  # at +-90 degrees of yaw only one of the others is defined
        return np.array([yaw, np.arctan2(-r[1, 2], r[1, 1]), 0.0])
    return np.array([yaw, np.arctan2(r[2, 1], r[2, 2]), np.arctan2(r[1, 0], r[0, 0])])


def _rx(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _ry(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _rz(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
