"""What a step of the face box network sees."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBoxBatch:
    """B scenes with their faces in K slots.

    Attributes:
        image: ``(B, 3, H, W)`` sRGB code values in [0, 1].
        kind, side_px, points_px: as in :class:`recon.training.face_scenes.SceneFaces`.
    """

    image: Float[Tensor, "b 3 h w"]
    kind: Int[Tensor, "b k"]
    side_px: Float[Tensor, "b k"]
    points_px: Float[Tensor, "b k 6 2"]

    def __len__(self) -> int:
        return self.image.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FaceBoxBatch:
        """The same batch on another device."""
        return FaceBoxBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> FaceBoxBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return FaceBoxBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
