"""What a step of the landmark network sees."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkBatch:
    """B crops with their points.

    Attributes:
        image: ``(B, 3, S, S)`` sRGB code values in [0, 1].
        points: ``(B, N, 3)`` as in :class:`recon.networks.landmark_network.LandmarkPrediction`.
        visible: ``(B, N)`` inside the crop and not hidden.
        rotation: ``(B, 3, 3)`` of the head as seen along the ray to it, in the camera frame of the crop.
    """

    image: Float[Tensor, "b 3 s s"]
    points: Float[Tensor, "b n 3"]
    visible: Bool[Tensor, "b n"]
    rotation: Float[Tensor, "b 3 3"]

    def __len__(self) -> int:
        return self.image.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> LandmarkBatch:
        """The same batch on another device."""
        return LandmarkBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> LandmarkBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return LandmarkBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
