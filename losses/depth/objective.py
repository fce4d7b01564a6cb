"""A weighted sum of depth losses, as configs name them, and the hybrid losses of the depth papers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.catalogue import CATALOGUE

THREE_TERM: Mapping[str, float] = MappingProxyType({"ssim": 0.1, "gradient_l1": 0.1, "surface_normal": 1.0})
"""The hybrid loss of the second depth paper. Its text prints three values for four symbols, the thesis four values for a sum of
three terms; the three that both share are these, in the order of the sum."""

FOUR_TERM: Mapping[str, float] = MappingProxyType(
    {"l1": 0.28, "ssim": 0.22, "gradient_l1": 0.30, "surface_normal": 0.20}
)
"""The hybrid loss of the third depth paper (Eq. 1), in the order of its w1 to w4."""


@dataclasses.dataclass(frozen=True)
class DepthObjective:
    """A weighted sum of losses of the catalogue.

    Attributes:
        weights: of each loss by its name; those with 0 are not computed.
        options: keywords of single losses, by name, such as ``{"ssim": {"data_range": 200.0}}``.

    Raises:
        ValueError: an unknown loss or option, a weight that is negative or not finite, or nothing to compute.
    """

    weights: Mapping[str, float]
    options: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.weights, *self.options):
            if name not in CATALOGUE:
                raise ValueError(f"unknown depth loss {name!r}; known: {', '.join(CATALOGUE)}")
        for name, weight in self.weights.items():
            if not (weight >= 0.0 and math.isfinite(weight)):
                raise ValueError(f"the weight of depth loss {name} must be a finite number of at least 0, got {weight}")
        if not self._names:
            raise ValueError("a depth objective needs a loss with a weight above 0")
        for name, options in self.options.items():
            unknown = sorted(set(options) - set(CATALOGUE[name].options))
            if unknown:
                known = ", ".join(CATALOGUE[name].options) or "none"
                raise ValueError(f"depth loss {name} has no option {unknown[0]!r}; it has: {known}")

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, weight in self.weights.items() if weight > 0.0)

    @property
    def needs(self) -> frozenset[str]:
        """Keywords that :meth:`terms` must be given with each batch."""
        return frozenset(key for name in self._names for key in CATALOGUE[name].needs)

    def terms(
        self,
        predicted: Float[Tensor, "b 1 h w"],
        true: Float[Tensor, "b 1 h w"],
        mask: Bool[Tensor, "b 1 h w"],
        inputs: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Float[Tensor, ""]]:
        """Weight times loss of each name, mean over the pictures of the batch; their sum is the objective.

        Each picture weighs 1 / B, whatever its mask and its neighbours.

        Args:
            predicted, true, mask: as of the losses.
            inputs: what single losses need besides (see :attr:`needs`) or take; each loss gets what it knows.

        Raises:
            ValueError: an input is missing.
        """
        missing = sorted(self.needs - set(inputs))
        if missing:
            wanting = [name for name in self._names if missing[0] in CATALOGUE[name].needs]
            raise ValueError(f"depth loss {wanting[0]} needs {missing[0]!r} with each batch")
        found = {}
        for name in self._names:
            loss = CATALOGUE[name]
            keywords = {**self.options.get(name, {}), **{key: inputs[key] for key in loss.takes if key in inputs}}
            found[name] = self.weights[name] * loss.function(predicted, true, mask, **keywords).mean()
        return found
