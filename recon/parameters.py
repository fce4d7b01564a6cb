"""What a network says about a face: coefficients, pose and light; and the face that a model makes of them."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.camera import PerspectiveCamera


@dataclasses.dataclass(frozen=True, eq=False)
class Coefficients:
    """Coefficients of B faces in B pictures.

    Attributes:
        identity: ``(B, Ki)``.
        expression: ``(B, Ke)``.
        albedo: ``(B, Ka)``.
        rotation: ``(B, 3, 3)``, object to camera: v_cam = R v_obj + t.
        translation_mm: ``(B, 3)``.
        lighting: ``(B, 9, 3)`` radiance coefficients in the camera frame, see :mod:`recon.lighting`.
    """

    identity: Float[Tensor, "b ki"]
    expression: Float[Tensor, "b ke"]
    albedo: Float[Tensor, "b ka"]
    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    lighting: Float[Tensor, "b 9 3"]

    def __len__(self) -> int:
        return self.identity.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """All fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def detach(self) -> Coefficients:
        """The same numbers without gradient."""
        return Coefficients(**{name: tensor.detach() for name, tensor in self.tensors().items()})

    def select(self, rows: slice) -> Coefficients:
        """Some of the faces."""
        return Coefficients(**{name: tensor[rows] for name, tensor in self.tensors().items()})

    def to(self, device: torch.device | str) -> Coefficients:
        """The same faces on another device."""
        return Coefficients(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def camera(self, intrinsics: Float[Tensor, "b 3 3"]) -> PerspectiveCamera:
        """The cameras of the pictures, with the heads' poses."""
        focal_px = torch.stack((intrinsics[:, 0, 0], intrinsics[:, 1, 1]), dim=-1)
        return PerspectiveCamera(self.rotation, self.translation_mm, focal_px, intrinsics[:, :2, 2])
