"""What a training step sees: pictures with whatever is known about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.lighting import rotate_lighting
from recon.parameters import TENSORS, FaceParameters
from recon.rotation import turn_to_ray
from recon.synthesis.sample import FaceBatch


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingBatch:
    """B pictures with labels; ``None`` is what nobody knows. Photos have landmarks, synthetic faces have everything.

    Attributes:
        image: ``(B, 3, H, W)`` sRGB code values in [0, 1].
        intrinsics: ``(B, 3, 3)`` of these pictures.
        landmarks68_px: ``(B, 68, 2)``.
        dense_px: ``(B, N, 2)`` dense landmarks, also outside of the picture.
        dense_obj: ``(B, N, 3)`` dense landmarks in the head's frame, mm.
        rotation: ``(B, 3, 3)``; None for photos.
        translation_mm: ``(B, 3)``.
        identity, expression, albedo: coefficients of the model that is trained.
        lighting: ``(B, 9, 3)``.
        face_mask: ``(B, 1, H, W)`` where visible skin is seen, or the confidence in [0, 1] that it is; ``None`` leaves it to a
            segmenter.
        depth_mm: ``(B, 1, H, W)`` planar depth of the head, 0 off it.
        normals: ``(B, 3, H, W)`` camera frame, 0 off the head.
    """

    image: Float[Tensor, "b 3 h w"]
    intrinsics: Float[Tensor, "b 3 3"]
    landmarks68_px: Float[Tensor, "b 68 2"]
    dense_px: Float[Tensor, "b n 2"] | None = None
    dense_obj: Float[Tensor, "b n 3"] | None = None
    rotation: Float[Tensor, "b 3 3"] | None = None
    translation_mm: Float[Tensor, "b 3"] | None = None
    identity: Float[Tensor, "b ki"] | None = None
    expression: Float[Tensor, "b ke"] | None = None
    albedo: Float[Tensor, "b ka"] | None = None
    lighting: Float[Tensor, "b 9 3"] | None = None
    face_mask: Bool[Tensor, "b 1 h w"] | Float[Tensor, "b 1 h w"] | None = None
    depth_mm: Float[Tensor, "b 1 h w"] | None = None
    normals: Float[Tensor, "b 3 h w"] | None = None

    @classmethod
    def of(cls, faces: FaceBatch, *, maps: bool = True) -> TrainingBatch:
        """Synthetic faces with all their labels; without ``maps`` mask, depth and normals are left out."""
        return cls(
            image=faces.image,
            intrinsics=faces.intrinsics,
            landmarks68_px=faces.landmarks68_px,
            dense_px=faces.landmarks520_px,
            dense_obj=(faces.landmarks520_cam - faces.translation_mm[:, None]) @ faces.rotation,
            rotation=faces.rotation,
            translation_mm=faces.translation_mm,
            identity=faces.identity,
            expression=faces.expression,
            albedo=faces.albedo,
            lighting=faces.lighting,
            face_mask=faces.face_mask if maps else None,
            depth_mm=faces.depth_mm if maps else None,
            normals=faces.normals if maps else None,
        )

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` px."""
        return self.image.shape[2], self.image.shape[3]

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are known, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TrainingBatch:
        """The same batch on another device."""
        moved = {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in self.tensors().items()}
        return TrainingBatch(**moved)

    def pin_memory(self) -> TrainingBatch:
        """The same batch in page-locked memory, for fast copies to a GPU; called by torch's loader."""
        return TrainingBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})

    def select(self, rows: slice | Sequence[int] | Tensor) -> TrainingBatch:
        """Some of the samples."""
        return TrainingBatch(**{name: tensor[rows] for name, tensor in self.tensors().items()})

    @staticmethod
    def cat(batches: Sequence[TrainingBatch]) -> TrainingBatch:
        """Several batches, one after the other; labels that one of them lacks are left out."""
        names = [name for name in batches[0].tensors() if all(name in batch.tensors() for batch in batches)]
        return TrainingBatch(**{name: torch.cat([batch.tensors()[name] for batch in batches]) for name in names})

    def for_weak_perspective(self) -> TrainingBatch:
        """Labels as a weak-perspective camera has them: rotation, light and normals against the ray on which the head is seen,
        see :meth:`recon.parameters.FaceParameters.for_camera`. Labels without a place are seen along the axis already."""
        if self.translation_mm is None:
            return self
        turn = turn_to_ray(self.translation_mm).transpose(1, 2)
        changes: dict[str, Tensor] = {}
        if self.rotation is not None:
            changes["rotation"] = turn @ self.rotation
        if self.lighting is not None:
            changes["lighting"] = rotate_lighting(self.lighting, turn)
        if self.normals is not None:
            changes["normals"] = torch.einsum("bij,bjhw->bihw", turn.to(self.normals), self.normals)
        return dataclasses.replace(self, **changes)

    def truth(self) -> FaceParameters | None:
        """The labels as coefficients, or ``None`` if some are not known."""
        values = {name: getattr(self, name) for name in TENSORS}
        return None if any(value is None for value in values.values()) else FaceParameters(**values)
