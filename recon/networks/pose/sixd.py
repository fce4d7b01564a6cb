"""Our pose network: the continuous 6D form of rotations (Zhou et al. 2019) from a small backbone, and how sure it is.

The uncertainty is a Gaussian in the tangent space at the predicted rotation, the first order of any distribution that is
narrow on SO(3) (Barfoot and Furgale 2014, "Associating uncertainty with three-dimensional poses for use in estimation
problems", Eq. 11). Against the matrix Fisher distribution (Mohlin et al. 2020) it has no normalising constant to
approximate, and its covariance is what is reported.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.backbones import BACKBONES, Backbone
from recon.networks.pose.prediction import PosePrediction
from recon.networks.precision import full_precision
from recon.rotation import sixd_to_matrix

_GRID = 4
_LOG_PRECISION = (math.log(1.0 / math.pi), math.log(1.0 / math.radians(0.1)))
"""Bounds of the logarithm of the roots' diagonals: standard deviations of a half turn and of a tenth of a degree."""
_START_SIGMA_RAD = 0.3


@dataclasses.dataclass(frozen=True)
class SixdConfig:
    """How a 6D pose network is built.

    Attributes:
        kind: tells the configs of pose networks apart.
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`.
        size: side of the crop, px.
        width: numbers between pooled features and the answer.
        pretrained: start from ImageNet.

    Raises:
        ValueError: an unknown backbone, or a size or width that no network has.
    """

    kind: Literal["sixd"] = "sixd"
    backbone: str = "mobilenetv4_small"
    size: int = 128
    width: int = 256
    pretrained: bool = False

    def __post_init__(self) -> None:
        check_backbone(self.backbone, self.size)
        if type(self.width) is not int or not 1 <= self.width <= 4096:
            raise ValueError(f"width must be a whole number from 1 to 4096, got {str(self.width)[:40]!r}")


def check_backbone(backbone: str, size: int) -> None:
    """Refuse what is no backbone or no size of its crops.

    Raises:
        ValueError: the one or the other.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"unknown backbone {str(backbone)[:40]!r}; known: {', '.join(BACKBONES)}")
    if type(size) is not int or not 32 <= size <= 2048 or size % 32:
        raise ValueError(f"size must be a multiple of 32 from 32 to 2048, got {str(size)[:40]!r}")


class SixdNetwork(nn.Module):
    """Crops in, rotations with a covariance out.

    Args:
        config: how it is built.
        **options: for the backbone, see :class:`recon.networks.backbones.Backbone`.

    Raises:
        BackboneError: see there.
    """

    def __init__(self, config: SixdConfig, **options: Any) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, config.size, pretrained=config.pretrained, **options)
        channels = self.backbone.channels[0]
        self.reduce = nn.Conv2d(channels, 64, 1)
        self.mix = nn.Sequential(
            nn.Linear(channels + 64 * _GRID**2, config.width), nn.LayerNorm(config.width), nn.GELU()
        )
        self.columns = nn.Linear(config.width, 6)
        self.spread = nn.Linear(config.width, 6)
        with torch.no_grad():
            for layer in (self.columns, self.spread):
                nn.init.normal_(layer.weight, std=0.01)
            self.columns.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
            self.spread.bias.copy_(torch.tensor([-math.log(_START_SIGMA_RAD)] * 3 + [0.0] * 3))

    @property
    def size(self) -> int:
        """Side of its crops, px."""
        return self.config.size

    def forward(self, crops: Float[Tensor, "b 3 h w"]) -> PosePrediction:
        """Rotations in crops of sRGB code values in [0, 1]; normalisation is inside."""
        coarsest = self.backbone(crops)[0]
        with full_precision(crops.device.type):
            coarsest = coarsest.float()
            # Interpolation, because adaptive pooling of sizes that 4 does not divide cannot be exported.
            grid = nn.functional.interpolate(
                self.reduce(coarsest), size=(_GRID, _GRID), mode="bilinear", align_corners=False
            )
            mixed = self.mix(torch.cat((coarsest.mean(dim=(-2, -1)), grid.flatten(1)), dim=1))
            return PosePrediction(sixd_to_matrix(self.columns(mixed)), precision_root(self.spread(mixed)))

    answer = forward


def with_scaled_sigma(network: SixdNetwork, factor: float) -> SixdNetwork:
    """A copy that states standard deviations ``factor`` times as large, and the same rotations.

    Drawn faces teach how unsure a network should be about faces like them; about other people's it is surer than it should be. One factor,
    measured on heads of another kind (``tools/pose_sigma.py``), goes into the bias of the logarithms of the precision's diagonal.

    Args:
        network: left as it is.
        factor: positive.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(factor) and factor > 0.0):
        raise ValueError(f"the factor of a standard deviation must be positive, got {factor}")
    scaled = copy.deepcopy(network)
    with torch.no_grad():
        scaled.spread.bias[:3] -= math.log(factor)
    return scaled


def precision_root(numbers: Float[Tensor, "b 6"]) -> Float[Tensor, "b 3 3"]:
    """Lower triangular matrices: logarithms of the diagonal, then what stands below it, in shares of its row's diagonal."""
    diagonal = numbers[:, :3].clamp(*_LOG_PRECISION).exp()
    zero = torch.zeros_like(diagonal[:, 0])
    one = torch.ones_like(zero)
    below10, below20, below21 = numbers[:, 3:].unbind(-1)
    shares = torch.stack((one, zero, zero, below10, one, zero, below20, below21, one), dim=-1).unflatten(1, (3, 3))
    return diagonal[:, :, None] * shares
