"""FSA-Net (Yang et al. 2019) as the head pose paper has it: two streams, fine-grained features, capsules, stage-wise angles."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.pose.capsule import CapsuleLayer
from recon.networks.pose.prediction import AngleAnswer, PosePrediction
from recon.networks.pose.scoring import SCORINGS, Scoring, StructureMapping
from recon.networks.pose.stagewise import CAPSULE_SIZE, StagewiseRegression

SIZE_PX = 64
_N_STAGES, _CHANNELS, _MAP_SIDE = 3, 64, 8
_COMBINATIONS, _INNER = 7, 5
N_FEATURES = _N_STAGES * _COMBINATIONS
"""Fine-grained features, each of 64 numbers."""


@dataclasses.dataclass(frozen=True)
class FsaNetConfig:
    """How an FSA-Net is built.

    Attributes:
        kind: tells the configs of pose networks apart.
        size: side of the crop, 64 px: the mapping of its places is built for it.
        scoring: see :class:`recon.networks.pose.scoring.PlaceScores`.
        routings: of the capsules.

    Raises:
        ValueError: another size, an unknown scoring, or no routing.
    """

    kind: Literal["fsanet"] = "fsanet"
    size: int = SIZE_PX
    scoring: Scoring = "variance"
    routings: int = 2

    def __post_init__(self) -> None:
        if self.size != SIZE_PX:
            raise ValueError(f"FSA-Net takes crops of {SIZE_PX} px, got size {str(self.size)[:40]}")
        if self.scoring not in SCORINGS:
            raise ValueError(f"scoring must be one of {', '.join(SCORINGS)}, got {str(self.scoring)[:40]!r}")
        if type(self.routings) is not int or not 1 <= self.routings <= 16:
            raise ValueError(f"routings must be a whole number from 1 to 16, got {str(self.routings)[:40]!r}")


class FsaNet(nn.Module):
    """Crops of 64 px in, three angles out.

    The last three blocks of both streams meet in products, three maps of 8 x 8 places of 64 numbers; of these the mapping makes
    21 features, the capsules three vectors of 16 numbers, one for each stage of the regression.

    Args:
        config: how it is built.
    """

    def __init__(self, config: FsaNetConfig) -> None:
        super().__init__()
        self.config = config
        self.rectified = _Stream(nn.ReLU, nn.AvgPool2d)
        self.bounded = _Stream(nn.Tanh, nn.MaxPool2d)
        self.shrink = nn.AvgPool2d(2)
        self.mapping = StructureMapping(
            config.scoring, _CHANNELS, (_MAP_SIDE, _MAP_SIDE), _N_STAGES, _COMBINATIONS, _INNER
        )
        self.capsules = CapsuleLayer(N_FEATURES, _CHANNELS, _N_STAGES, CAPSULE_SIZE, config.routings)
        self.regression = StagewiseRegression(_N_STAGES)

    @property
    def size(self) -> int:
        """Side of its crops, px."""
        return self.config.size

    def forward(self, crops: Float[Tensor, "b 3 h w"]) -> PosePrediction:
        """Rotations in crops of sRGB code values in [0, 1]."""
        return self.answer(crops).prediction()

    def answer(self, crops: Float[Tensor, "b 3 h w"]) -> AngleAnswer:
        """Angles and the fine-grained features that they come from."""
        last, third, second = (a * b for a, b in zip(self.rectified(crops), self.bounded(crops), strict=True))
        maps = [last, third, self.shrink(second)]
        if torch.is_autocast_enabled(crops.device.type):
            # Convolutions may be of bfloat16; angles are sums of which it keeps no more than half a degree.
            with torch.autocast(crops.device.type, enabled=False):
                return self._angles([features.float() for features in maps])
        return self._angles(maps)

    def _angles(self, maps: list[Tensor]) -> AngleAnswer:
        features = self.mapping(maps)
        return AngleAnswer(self.regression(self.capsules(features)), features)


class _Stream(nn.Module):
    """Four blocks of 3x3 convolutions; the last three end in a 1x1 convolution to 64 channels."""

    _WIDTHS = ((16,), (32, 32), (64, 64), (128, 128))

    def __init__(self, activation: type[nn.Module], pooling: type[nn.AvgPool2d] | type[nn.MaxPool2d]) -> None:
        super().__init__()
        gain: Literal["relu", "tanh"] = "relu" if activation is nn.ReLU else "tanh"
        self.blocks, self.ends = nn.ModuleList(), nn.ModuleList()
        channels = 3
        for number, widths in enumerate(self._WIDTHS):
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), activation()]
                channels = width
            if number < len(self._WIDTHS) - 1:
                layers.append(pooling(2))
            self.blocks.append(nn.Sequential(*layers))
            if number:
                end = nn.Conv2d(channels, _CHANNELS, 1)
                # The maps are products of both streams and capsules are squashed: maps that are small at first have no gradient.
                nn.init.xavier_uniform_(end.weight, nn.init.calculate_gain(gain))
                end.bias = nn.Parameter(torch.zeros(_CHANNELS))
                self.ends.append(nn.Sequential(end, activation()))

    def forward(self, crops: Tensor) -> list[Tensor]:
        """Maps of the blocks 4, 3 and 2: 8, 8 and 16 places a side."""
        features, found = self.blocks[0](crops), []
        for block, end in zip(self.blocks[1:], self.ends, strict=True):
            features = block(features)
            found.append(end(features))
        return found[::-1]
