"""The weighted sum of losses by which a network of depth maps learns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Bool, Float
from torch import Tensor

from losses.facial_depth import weighted_mean

MapLoss = Callable[[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]], Float[Tensor, " b"]]
"""Predicted and true map and the mask of the pixels that count, to one value a picture."""


def _l1(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    return weighted_mean((predicted - true).abs(), mask.to(predicted.dtype))


def _l2(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    return weighted_mean((predicted - true).square(), mask.to(predicted.dtype))


MAP_LOSSES: Mapping[str, MapLoss] = MappingProxyType({"l1": _l1, "l2": _l2})
"""Losses by the names that configs give them."""


@dataclasses.dataclass(frozen=True)
class MapObjective:
    """A weighted sum.

    Attributes:
        weights: of each loss by its name; those with 0 are not computed.

    Raises:
        ValueError: an unknown loss, a weight that is negative or not finite, or nothing to compute.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in MAP_LOSSES:
                raise ValueError(f"unknown depth loss {name!r}; known: {', '.join(MAP_LOSSES)}")
            if not (weight >= 0.0 and math.isfinite(weight)):
                raise ValueError(f"the weight of depth loss {name} must be a finite number of at least 0, got {weight}")
        if not any(weight > 0.0 for weight in self.weights.values()):
            raise ValueError("a depth objective needs a loss with a weight above 0")

    def terms(
        self, predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
    ) -> dict[str, Tensor]:
        """Weight times loss of each name, mean over the pictures; their sum is the objective."""
        return {
            name: weight * MAP_LOSSES[name](predicted, true, mask).mean()
            for name, weight in self.weights.items()
            if weight > 0.0
        }
