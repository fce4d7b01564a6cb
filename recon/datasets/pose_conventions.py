"""The angles that data sets write for a head's rotation.

All rotations are of our camera frame (x right, y up, z towards the viewer, the head facing +z). A convention says which
three numbers a data set writes for such a rotation:

- ``zyx``: ours and that of Eq. 9 of the head pose paper, R = Rz(roll) Ry(yaw) Rx(pitch).
- ``xyz``: Eq. 7 of the same paper as printed, R = Rx(pitch) Ry(yaw) Rz(roll). Eq. 9 does not invert it.
- ``300wlp``: ``Pose_Para`` of 300W-LP and AFLW2000-3D (Zhu et al. 2016), R = Rx(-pitch) Ry(-yaw) Rz(-roll).
- ``biwi``: angles of FSA-Net's BIWI labels (Yang et al. 2019), taken from the transposed matrix of the Kinect frame (y
  down, z away), where roll and yaw change their sign.
- ``pointing04``: pan (as yaw), tilt (as pitch) and 0 of Pointing'04 (Gourier et al. 2004): positive tilt looks up, and negative pan to the
  left, which is taken to be the person's own; R = Ry(-pan) Rx(-tilt). The set's page does not say whose left it means.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from recon.rotation import euler_to_matrix, matrix_to_euler

CONVENTIONS = ("zyx", "xyz", "300wlp", "biwi", "pointing04")

FLIP_Y_Z = np.diag([1.0, -1.0, -1.0])
"""Between our frame and one with y down and z away from the camera, as of the Kinect: R' = F R F."""


def angles_to_matrix(angles_deg: Float[np.ndarray, " 3"], convention: str = "zyx") -> Float[np.ndarray, "3 3"]:
    """Rotation of (yaw, pitch, roll) in degrees.

    Raises:
        ValueError: an unknown convention.
    """
    yaw, pitch, roll = np.deg2rad(np.asarray(angles_deg, dtype=np.float64))
    # Rx(a) Ry(b) Rz(c) is the transpose of Rz(-c) Ry(-b) Rx(-a).
    if convention == "zyx":
        return _zyx(yaw, pitch, roll)
    if convention == "xyz":
        return _zyx(-yaw, -pitch, -roll).T
    if convention == "300wlp":
        return _zyx(yaw, pitch, roll).T
    if convention == "biwi":
        return FLIP_Y_Z @ _zyx(-yaw, pitch, -roll).T @ FLIP_Y_Z
    if convention == "pointing04":
        return _zyx(-yaw, -pitch, roll)
    raise ValueError(f"unknown angle convention {convention!r}; known: {', '.join(CONVENTIONS)}")


def matrix_to_angles(rotation: Float[np.ndarray, "3 3"], convention: str = "zyx") -> Float[np.ndarray, " 3"]:
    """(yaw, pitch, roll) in degrees of a rotation, yaw within +-90.

    Raises:
        ValueError: an unknown convention.
    """
    r = np.asarray(rotation, dtype=np.float64)
    if convention == "zyx":
        angles = _yaw_pitch_roll(r)
    elif convention == "xyz":
        angles = -_yaw_pitch_roll(r.T)
    elif convention == "300wlp":
        angles = _yaw_pitch_roll(r.T)
    elif convention == "biwi":
        angles = _yaw_pitch_roll((FLIP_Y_Z @ r @ FLIP_Y_Z).T) * np.array([-1.0, 1.0, -1.0])
    elif convention == "pointing04":
        angles = _yaw_pitch_roll(r) * np.array([-1.0, -1.0, 1.0])
    else:
        raise ValueError(f"unknown angle convention {convention!r}; known: {', '.join(CONVENTIONS)}")
    return np.rad2deg(angles)


def _zyx(yaw_rad: float, pitch_rad: float, roll_rad: float) -> Float[np.ndarray, "3 3"]:
    return euler_to_matrix(torch.tensor([pitch_rad, yaw_rad, roll_rad], dtype=torch.float64)).numpy()


def _yaw_pitch_roll(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    pitch, yaw, roll = matrix_to_euler(torch.tensor(rotation)).tolist()
    return np.array([yaw, pitch, roll])


def readings(angles_deg: Float[np.ndarray, " 3"]) -> dict[str, Float[np.ndarray, "3 3"]]:
    """The rotations that three angles would mean under every convention, and under ours with signs reversed."""
    found = {name: angles_to_matrix(angles_deg, name) for name in CONVENTIONS}
    for name, signs in _REVERSED.items():
        found[name] = angles_to_matrix(np.asarray(angles_deg) * signs, "zyx")
    return found


_REVERSED = {
    "zyx with yaw reversed": (-1.0, 1.0, 1.0),
    "zyx with pitch reversed": (1.0, -1.0, 1.0),
    "zyx with roll reversed": (1.0, 1.0, -1.0),
    "zyx with all angles reversed": (-1.0, -1.0, -1.0),
    "zyx with yaw and roll reversed": (-1.0, 1.0, -1.0),
}
