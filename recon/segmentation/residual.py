"""Where a photo shows the bare face: an interface for face-parsing networks, and a default that needs no download."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class OcclusionMask(Protocol):
    """Anything that tells bare face from hair, hands and glasses. A parsing network may ignore ``rendered``."""

    def __call__(
        self,
        photo: Float[Tensor, "b 3 h w"],
        rendered: Float[Tensor, "b 3 h w"],
        covered: Float[Tensor, "b 1 h w"],
    ) -> Float[Tensor, "b 1 h w"]:
        """Weights in [0, 1], no larger than ``covered``.

        Args:
            photo, rendered: sRGB code values in [0, 1].
            covered: where the model draws the face.
        """
        ...


class ResidualOcclusion:
    """Region mask times a robust residual: what looks much less like the rendered face than most of it is hidden.

    The residual is measured in median residuals of the same picture, so a poor fit early in training hides nothing
    more than a good one; weights follow Geman and McClure.

    Args:
        scale: residuals of this many medians get a quarter of the weight.
        floor: a residual of this many code values is never called an occlusion.
    """

    def __init__(self, scale: float = 3.0, floor: float = 0.04) -> None:
        if not (scale > 0.0 and floor > 0.0):
            raise ValueError(f"the occlusion mask needs a positive scale and floor, got {scale} and {floor}")
        self.scale, self.floor = scale, floor

    @torch.no_grad()
    def __call__(
        self,
        photo: Float[Tensor, "b 3 h w"],
        rendered: Float[Tensor, "b 3 h w"],
        covered: Float[Tensor, "b 1 h w"],
    ) -> Float[Tensor, "b 1 h w"]:
        """See :class:`OcclusionMask`."""
        gap = (photo - rendered).square().mean(dim=1, keepdim=True).sqrt()
        seen = torch.where(covered > 0.5, gap, torch.nan)
        median = seen.flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)
        unit = self.scale * median.clamp_min(self.floor)[:, None, None, None]
        return covered / (1.0 + (gap / unit).square()).square()
