"""The head of a clip: one person's shape, and its pose and expression in every frame, beside the crop of the frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float

from recon.camera import PerspectiveCamera


@dataclasses.dataclass(frozen=True, eq=False)
class ClipHead:
    """T frames of one head by a face model, in the frames that crops were cut from.

    Attributes:
        identity: ``(Ki,)`` coefficients.
        focal_px: focal length in pixels of the frames.
        principal_px: ``(2,)`` x and y of the principal point.
        rotation: ``(T, 3, 3)`` object to camera.
        translation_mm: ``(T, 3)``.
        expression: ``(T, Ke)`` weights.
        crop_from_frame: ``(T, 3, 3)`` see :class:`recon.dubbing.face_crops.MouthCrop`.
    """

    identity: Float[np.ndarray, " ki"]
    focal_px: float
    principal_px: Float[np.ndarray, " 2"]
    rotation: Float[np.ndarray, "t 3 3"]
    translation_mm: Float[np.ndarray, "t 3"]
    expression: Float[np.ndarray, "t ke"]
    crop_from_frame: Float[np.ndarray, "t 3 3"]

    def __len__(self) -> int:
        return len(self.rotation)

    def camera(self, frame: int) -> PerspectiveCamera:
        """Of a frame, with the head's pose, float32."""
        return PerspectiveCamera(
            torch.from_numpy(self.rotation[frame : frame + 1]).float(),
            torch.from_numpy(self.translation_mm[frame : frame + 1]).float(),
            torch.full((1, 2), self.focal_px),
            torch.from_numpy(self.principal_px[None]).float(),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ClipHead:
        """The inverse of :meth:`arrays`."""
        given = dict(arrays)
        return cls(focal_px=float(np.ravel(given.pop("focal_px"))[0]), **given)
