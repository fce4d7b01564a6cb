"""Binned angles with their expectation, the baseline (Ruiz et al. 2018, "Fine-grained head pose estimation without keypoints")."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.backbones import Backbone
from recon.networks.pose.prediction import AngleAnswer, PosePrediction
from recon.networks.pose.sixd import check_backbone

N_BINS = 66
BIN_DEG = 3.0
"""Bins of 3 degrees from -99 to 99."""


@dataclasses.dataclass(frozen=True)
class HopeNetConfig:
    """How a network of binned angles is built.

    Attributes:
        kind: tells the configs of pose networks apart.
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`; the paper has ResNet-50.
        size: side of the crop, px.
        pretrained: start from ImageNet.

    Raises:
        ValueError: an unknown backbone, or a size that no network has.
    """

    kind: Literal["hopenet"] = "hopenet"
    backbone: str = "resnet18"
    size: int = 128
    pretrained: bool = False

    def __post_init__(self) -> None:
        check_backbone(self.backbone, self.size)


@dataclasses.dataclass(frozen=True, eq=False)
class BinnedAnswer:
    """What the network says of B crops.

    Attributes:
        logits: ``(B, 3, 66)`` of the bins of yaw, pitch and roll.
    """

    logits: Float[Tensor, "b 3 66"]

    @property
    def angles_deg(self) -> Float[Tensor, "b 3"]:
        """Expectations of the bins' middles."""
        return (self.logits.softmax(dim=-1) * bin_middles(self.logits)).sum(dim=-1)

    def prediction(self) -> PosePrediction:
        """The same as rotations."""
        return AngleAnswer(self.angles_deg).prediction()


def bin_middles(like: Tensor) -> Float[Tensor, " 66"]:
    """Degrees."""
    return BIN_DEG * (torch.arange(N_BINS, device=like.device, dtype=like.dtype) + 0.5 - 0.5 * N_BINS)


class HopeNet(nn.Module):
    """Crops in, bins of three angles out.

    Args:
        config: how it is built.
        **options: for the backbone, see :class:`recon.networks.backbones.Backbone`.

    Raises:
        BackboneError: see there.
    """

    def __init__(self, config: HopeNetConfig, **options: Any) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, config.size, pretrained=config.pretrained, **options)
        self.bins = nn.Linear(self.backbone.channels[0], 3 * N_BINS)

    @property
    def size(self) -> int:
        """Side of its crops, px."""
        return self.config.size

    def forward(self, crops: Float[Tensor, "b 3 h w"]) -> PosePrediction:
        """Rotations in crops of sRGB code values in [0, 1]; normalisation is inside."""
        return self.answer(crops).prediction()

    def answer(self, crops: Float[Tensor, "b 3 h w"]) -> BinnedAnswer:
        """Logits of the bins."""
        pooled = self.backbone(crops)[0].mean(dim=(-2, -1))
        return BinnedAnswer(self.bins(pooled).unflatten(1, (3, N_BINS)))
