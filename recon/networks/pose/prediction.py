"""What pose networks answer: rotations, how sure they are of them, and the forms in which they state them.

Rotations are along the ray to the head (:func:`recon.rotation.turn_to_ray`), because a crop does not show where in the
photo it was cut out; object to camera frame, R = Rz(roll) Ry(yaw) Rx(pitch).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import matrix_to_euler

_RAD_PER_DEG = math.pi / 180.0


@dataclasses.dataclass(frozen=True, eq=False)
class PosePrediction:
    """Rotations of B heads.

    Attributes:
        rotation: ``(B, 3, 3)``.
        precision_root: ``(B, 3, 3)`` lower triangular L of a Gaussian in the tangent space at the rotation: the true rotation is
            exp(w) R with w normal, radians about the axes of the camera (x right, y up, z to the viewer), of covariance
            (L L^T)^-1. ``None`` of networks that do not say how sure they are.
    """

    rotation: Float[Tensor, "b 3 3"]
    precision_root: Float[Tensor, "b 3 3"] | None = None

    @property
    def covariance(self) -> Float[Tensor, "b 3 3"] | None:
        """``(B, 3, 3)`` of w, radians squared."""
        return None if self.precision_root is None else torch.cholesky_inverse(self.precision_root)


@dataclasses.dataclass(frozen=True, eq=False)
class AngleAnswer:
    """What networks say that regress the three angles.

    Attributes:
        angles_deg: ``(B, 3)`` yaw, pitch, roll.
        features: ``(B, n, d)`` fine-grained features that a domain classifier can look at; ``None`` of networks without.
    """

    angles_deg: Float[Tensor, "b 3"]
    features: Float[Tensor, "b n d"] | None = None

    def prediction(self) -> PosePrediction:
        """The same as rotations."""
        return PosePrediction(angles_to_rotation(self.angles_deg))


@runtime_checkable
class PoseFunction(Protocol):
    """A pose network, in torch or in onnxruntime."""

    @property
    def size(self) -> int:
        """Side of its crops, px."""
        ...

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> PosePrediction:
        """Rotations in crops of sRGB code values in [0, 1]."""
        ...


def angles_to_rotation(angles_deg: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Rotations of yaw, pitch, roll in degrees."""
    # Plain operations, as euler_to_matrix has none that can be exported.
    cos, sin = torch.cos(angles_deg * _RAD_PER_DEG), torch.sin(angles_deg * _RAD_PER_DEG)
    (cy, cp, cr), (sy, sp, sr) = cos.unbind(-1), sin.unbind(-1)
    row0 = torch.stack((cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp), dim=-1)
    row1 = torch.stack((sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp), dim=-1)
    row2 = torch.stack((-sy, cy * sp, cy * cp), dim=-1)
    return torch.stack((row0, row1, row2), dim=-2)


def rotation_to_angles(rotation: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """Yaw, pitch, roll in degrees, yaw within +-90."""
    pitch, yaw, roll = torch.rad2deg(matrix_to_euler(rotation)).unbind(-1)
    return torch.stack((yaw, pitch, roll), dim=-1)
