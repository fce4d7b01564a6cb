"""What a step of the lifting network sees."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.networks.landmark_network import LandmarkPrediction
from recon.training.framed_heads import FramedHeads


@dataclasses.dataclass(frozen=True, eq=False)
class LiftingBatch:
    """B faces: what a detector says of them, and the truth.

    Attributes:
        found: landmarks in the standard crops.
        told_intrinsics: ``(B, 3, 3)`` as the network is told them: those of the truth, or a guess of the focal length.
        heads: the truth in the same crops.
        true_points: ``(B, N, 3)`` landmarks without the detector's error.
    """

    found: LandmarkPrediction
    told_intrinsics: Float[Tensor, "b 3 3"]
    heads: FramedHeads
    true_points: Float[Tensor, "b n 3"]

    def __len__(self) -> int:
        return len(self.heads)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        found = {f"found_{field.name}": getattr(self.found, field.name) for field in dataclasses.fields(self.found)}
        return {
            **found,
            **self.heads.tensors(),
            "told_intrinsics": self.told_intrinsics,
            "true_points": self.true_points,
        }

    def to(self, device: torch.device | str, non_blocking: bool = False) -> LiftingBatch:
        """The same batch on another device."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        found = {field.name: moved(getattr(self.found, field.name)) for field in dataclasses.fields(self.found)}
        heads = {name: moved(tensor) for name, tensor in self.heads.tensors().items()}
        return LiftingBatch(
            LandmarkPrediction(**found), moved(self.told_intrinsics), FramedHeads(**heads), moved(self.true_points)
        )
