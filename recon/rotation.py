"""Rotations: Euler angles and the continuous 6D form, to matrices and back.

R = Rz(roll) Ry(yaw) Rx(pitch), applied to column vectors: x' = R x. Frame: x to the viewer's right, y up, z towards the
viewer; the face looks along +z. Seen by the viewer, a positive pitch turns the face down, a positive yaw turns it to
the viewer's right, and a positive roll turns the picture counter-clockwise.
"""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def euler_to_matrix(angles_rad: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of (pitch, yaw, roll) in radians, any range."""
    # roma's lower-case "xyz" turns about fixed axes, x first: Rz Ry Rx
    return roma.euler_to_rotmat("xyz", angles_rad)


def matrix_to_euler(rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """(pitch, yaw, roll) in radians, yaw within [-pi/2, pi/2], pitch and roll within [-pi, pi].

    At yaw = +-pi/2 only pitch - roll or pitch + roll is defined: the roll is then 0. The gradient is not finite there.
    """
    horizontal = torch.hypot(rotation[..., 0, 0], rotation[..., 1, 0])
    yaw = torch.atan2(-rotation[..., 2, 0], horizontal)
    locked = horizontal < 8.0 * torch.finfo(rotation.dtype).eps
    pitch = torch.where(
        locked,
        torch.atan2(-rotation[..., 1, 2], rotation[..., 1, 1]),
        torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2]),
    )
    roll = torch.where(locked, torch.zeros_like(yaw), torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0]))
    return torch.stack((pitch, yaw, roll), dim=-1)


def sixd_to_matrix(sixd: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of the 6D form of Zhou et al. 2019: the first column, then the second, made orthonormal.

    Any length of the two is accepted; parallel or zero columns have no rotation and give nan.
    """
    # Plain operations: roma's version fixes the batch size of an ONNX export.
    first, second = sixd[..., :3], sixd[..., 3:]
    x = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
    across = second - (x * second).sum(dim=-1, keepdim=True) * x
    y = across / torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), dim=-1)


def matrix_to_sixd(rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 6"]:
    """The 6D form: first column, then second column."""
    return rotation[..., :2].transpose(-1, -2).flatten(-2)


def rotation_angle(first: Float[Tensor, "*b 3 3"], second: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b"]:
    """Angle in radians, [0, pi], of the rotation from one to the other; accurate for small angles too."""
    return roma.rotmat_geodesic_distance(first, second)


def turn_to_ray(v_cam: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """The smallest rotation that takes the optical axis, -z, to the direction of a point in front of the camera."""
    x, y, z = (v_cam / torch.linalg.vector_norm(v_cam, dim=-1, keepdim=True)).unbind(-1)
    # Rodrigues's formula for the axis a = (0, 0, -1) x d and the cosine -z, written out.
    share = 1.0 / (1.0 - z)
    row0 = torch.stack((1.0 - x * x * share, -x * y * share, -x), dim=-1)
    row1 = torch.stack((-x * y * share, 1.0 - y * y * share, -y), dim=-1)
    row2 = torch.stack((x, y, -z), dim=-1)
    return torch.stack((row0, row1, row2), dim=-2)
