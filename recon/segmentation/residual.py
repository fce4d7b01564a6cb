"""A soft occlusion mask from the photometric residual against a rendered face: the default in training, and for the
photometric error of a regression."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.segmentation.segmenter import RenderedRegions, Segmenter, known_fields


class ResidualSegmenter(Segmenter):
    """The covered pixels, weighted by a robust residual: what looks much less like the rendered face than most of it is hidden.

    Needs ``covered`` and ``rendered`` of the prior. The residual is measured in median residuals of the same picture, so a
    poor fit early in training hides nothing more than a good one; weights are those of Geman and McClure (1985).

    Args:
        scale: residuals of this many medians get a quarter of the weight.
        floor: least median residual, sRGB in [0, 1]; keeps noise in good fits from being taken for occlusion.

    Raises:
        ValueError: a scale or floor that is not positive.
    """

    NEEDS = ("covered", "rendered")

    def __init__(self, scale: float = 3.0, floor: float = 0.04) -> None:
        if not (scale > 0.0 and floor > 0.0):
            raise ValueError(f"ResidualSegmenter needs a positive scale and floor, got {scale} and {floor}")
        self.scale, self.floor = scale, floor

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None) -> Float[Tensor, "b 1 h w"]:
        """See :class:`recon.segmentation.segmenter.FaceSegmenter`; 0 where the head is not rendered."""
        covered, rendered = known_fields(self, prior, self.NEEDS)
        residual = (images - rendered).square().mean(dim=1, keepdim=True).sqrt()
        median = torch.where(covered, residual, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)
        unit = self.scale * median.clamp_min(self.floor)[:, None, None, None]
        return covered.to(images.dtype) / (1.0 + (residual / unit).square()).square()
