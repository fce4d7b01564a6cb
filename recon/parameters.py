"""The parameters of faces in pictures: shape, albedo, expression, pose and light. One type for network, fit and result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.camera import CAMERAS, CameraModel, PosedCamera
from recon.lighting import rotate_lighting
from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True, eq=False)
class FaceParameters:
    """Parameters of B faces in B pictures.

    Attributes:
        identity: ``(B, Ki)`` coefficients, or ``(1, Ki)`` for one person in all pictures.
        expression: ``(B, Ke)`` coefficients.
        albedo: ``(B, Ka)`` coefficients, or ``(1, Ka)`` for one person. Colours are :meth:`bfm.model.MorphableModel.albedo` of them.
        rotation: ``(B, 3, 3)``, object to camera: v_cam = R v_obj + t.
        translation_mm: ``(B, 3)``.
        lighting: ``(B, 9, 3)`` radiance coefficients in the camera frame, see :mod:`recon.lighting`; ``None`` before any
            light is known.
        camera_model: how pictures show the pose, see :meth:`camera`.
    """

    identity: Float[Tensor, "bi ki"]
    expression: Float[Tensor, "b ke"]
    albedo: Float[Tensor, "ba ka"]
    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    lighting: Float[Tensor, "b 9 3"] | None
    camera_model: CameraModel = "perspective"

    def __len__(self) -> int:
        return self.rotation.shape[0]

    @property
    def known_lighting(self) -> Float[Tensor, "b 9 3"]:
        """The lighting of faces whose light is known.

        Raises:
            ValueError: it is not.
        """
        if self.lighting is None:
            raise ValueError("the light of these faces is not known yet: estimate it, or pass lighting=...")
        return self.lighting

    def tensors(self) -> dict[str, Tensor]:
        """All known tensors by name."""
        fields = {name: getattr(self, name) for name in TENSORS}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def detach(self) -> FaceParameters:
        """The same numbers without gradient."""
        return self._map(lambda name, tensor: tensor.detach())

    def select(self, rows: slice) -> FaceParameters:
        """Some of the pictures; what one person has in all of them is kept."""
        one_person = {name for name in ("identity", "albedo") if len(getattr(self, name)) == 1 < len(self)}
        return self._map(lambda name, tensor: tensor if name in one_person else tensor[rows])

    def to(self, target: torch.device | torch.dtype | str | Tensor) -> FaceParameters:
        """The same faces on another device or of another type; given a tensor, as it."""
        return self._map(lambda name, tensor: tensor.to(target))

    def camera(self, intrinsics: Float[Tensor, "b 3 3"]) -> PosedCamera:
        """The cameras of the pictures, with the heads' poses."""
        return CAMERAS[self.camera_model].of_intrinsics(intrinsics, self.rotation, self.translation_mm)

    def for_camera(self, model: CameraModel) -> FaceParameters:
        """The same heads for another camera model: their origins keep pixel, scale and depth, and the same side is seen.

        Under weak perspective all is seen along the axis. There the rotation, and the light with it, is the one against
        the ray on which a perspective camera sees the origin.
        """
        if model == self.camera_model:
            return self
        turn = turn_to_ray(self.translation_mm)
        turn = turn if model == "perspective" else turn.transpose(1, 2)
        lighting = None if self.lighting is None else rotate_lighting(self.lighting, turn)
        return dataclasses.replace(self, rotation=turn @ self.rotation, lighting=lighting, camera_model=model)

    def _map(self, change: Callable[[str, Tensor], Tensor]) -> FaceParameters:
        changed: dict[str, Any] = {name: change(name, tensor) for name, tensor in self.tensors().items()}
        return dataclasses.replace(self, **changed)


TENSORS = tuple(field.name for field in dataclasses.fields(FaceParameters) if field.name != "camera_model")
"""Names of the fields that hold tensors, in their order."""
