"""All depth losses by name, with what each needs and promises (the review's Eqs. 1 to 23; docs/depth_losses.md)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from losses.depth import (
    features,
    gradients,
    logarithmic,
    normals,
    point_sets,
    pointwise,
    ranking,
    relative,
    reprojection,
    structural,
)

Change = Literal["scale", "shift"]
Minimum = Literal["truth", "constant", "none"]

_INPUTS = ("image", "views", "features", "student", "teacher", "pairs", "camera", "bin_centres", "pixel_size")
"""Keywords that come with a batch; all others are options, which a config can set."""


@dataclasses.dataclass(frozen=True)
class DepthLoss:
    """One loss.

    Attributes:
        function: ``(predicted, true, mask, **inputs, **options)`` to ``(B,)``.
        equations: of the review.
        unit: of the value, for maps in mm.
        invariant: what may be done to the whole prediction (times a positive number, plus a number) without changing the value.
        zero: where the value is 0: at the truth, at a constant depth, or nowhere.
    """

    function: Callable[..., Float[Tensor, " b"]]
    equations: tuple[str, ...]
    unit: str
    invariant: frozenset[Change] = frozenset()
    zero: Minimum = "truth"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keywords that it must be given with each batch."""
        return tuple(k for k, p in self._keywords().items() if k in _INPUTS and p.default is inspect.Parameter.empty)

    @property
    def takes(self) -> tuple[str, ...]:
        """Keywords that may come with a batch, the needed ones among them."""
        return tuple(k for k in self._keywords() if k in _INPUTS)

    @property
    def options(self) -> tuple[str, ...]:
        """Keywords that a config may set; all have defaults."""
        return tuple(k for k, p in self._keywords().items() if p.default is not inspect.Parameter.empty)

    def _keywords(self) -> Mapping[str, inspect.Parameter]:
        parameters = inspect.signature(self.function).parameters
        return {k: p for k, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


_SCALE: frozenset[Change] = frozenset({"scale"})
_SHIFT: frozenset[Change] = frozenset({"shift"})

CATALOGUE: Mapping[str, DepthLoss] = MappingProxyType(
    {
        "l2": DepthLoss(pointwise.l2, ("1",), "mm^2"),
        "scale_invariant_log": DepthLoss(logarithmic.scale_invariant_log, ("2", "14-1"), "log^2"),
        "berhu": DepthLoss(pointwise.berhu, ("3",), "mm"),
        "huber": DepthLoss(pointwise.huber, ("4",), "mm^2"),
        "silog": DepthLoss(logarithmic.silog, ("5",), "log"),
        "l1": DepthLoss(pointwise.l1, ("6", "15"), "mm"),
        "global_mean_removed": DepthLoss(relative.global_mean_removed, ("7",), "mm", _SHIFT),
        "local_mean_removed": DepthLoss(relative.local_mean_removed, ("8",), "mm", _SHIFT),
        "ssim": DepthLoss(structural.ssim, ("9",), "1"),
        "photometric": DepthLoss(reprojection.photometric, ("10",), "1"),
        "edge_aware_smoothness": DepthLoss(gradients.edge_aware_smoothness, ("11",), "1", _SCALE, "constant"),
        "reconstruction": DepthLoss(reprojection.reconstruction, ("12",), "1"),
        "prior_reconstruction": DepthLoss(reprojection.prior_reconstruction, ("13",), "1", frozenset(), "none"),
        "scale_invariant": DepthLoss(relative.scale_invariant, ("14",), "mm", _SCALE),
        "scale_and_shift_invariant": DepthLoss(relative.scale_and_shift_invariant, ("14",), "mm", _SCALE | _SHIFT),
        "gradient_l1": DepthLoss(gradients.gradient_l1, ("16",), "mm/px", _SHIFT),
        "surface_normal": DepthLoss(normals.surface_normal, ("17",), "1", _SHIFT),
        "perceptual": DepthLoss(features.perceptual, ("18",), "1"),
        "structure_guided_ranking": DepthLoss(ranking.structure_guided_ranking, ("19",), "1", _SHIFT, "none"),
        "chamfer": DepthLoss(point_sets.chamfer, ("20",), "mm^2"),
        "bin_centre_density": DepthLoss(point_sets.bin_centre_density, ("21",), "mm^2", _SCALE | _SHIFT, "none"),
        "gradient_matching": DepthLoss(gradients.gradient_matching, ("22",), "mm", _SHIFT),
        "pairwise_distillation": DepthLoss(features.pairwise_distillation, ("23",), "1", _SCALE | _SHIFT, "none"),
    }
)
"""The review's losses. Two of its numbers (6 and 15) are one loss, and its number 14 is two."""
