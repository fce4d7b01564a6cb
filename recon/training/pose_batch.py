"""What a step of a pose network sees."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class PoseBatch:
    """B crops whose rotation is known, and pictures of another domain of which nothing is known.

    Attributes:
        image: ``(B, 3, S, S)`` sRGB code values in [0, 1].
        rotation: ``(B, 3, 3)`` of the head as seen along the ray to it, in the camera frame of the crop.
        target: ``(T, 3, S, S)`` unlabelled crops of the target domain; ``None`` without adaptation.
    """

    image: Float[Tensor, "b 3 s s"]
    rotation: Float[Tensor, "b 3 3"]
    target: Float[Tensor, "t 3 s s"] | None = None

    def __len__(self) -> int:
        return self.image.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name, those that are there."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PoseBatch:
        """The same batch on another device."""
        return PoseBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> PoseBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return PoseBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
