"""Segmentation by comparison with a rendered face."""

import pytest
import torch

from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import RenderedRegions, SegmentationError


def test_what_looks_unlike_the_render_is_hidden():
    generator = torch.Generator().manual_seed(0)
    rendered = torch.rand(2, 3, 12, 16, generator=generator)
    photo = (rendered + 0.02 * torch.randn(rendered.shape, generator=generator)).clamp(0, 1)
    photo[:, :, :4, :5] = 1.0 - rendered[:, :, :4, :5].round()
    covered = torch.ones(2, 1, 12, 16, dtype=torch.bool)
    covered[:, :, :, 12:] = False
    copies = photo.clone(), rendered.clone(), covered.clone()
    mask = ResidualSegmenter()(photo, RenderedRegions(covered, rendered=rendered))
    assert float(mask[:, :, :4, :5].mean()) < 0.2 < 0.7 < float(mask[:, :, 4:, :12].mean())
    assert float(mask[:, :, :, 12:].abs().max()) == 0.0 and float(mask.max()) <= 1.0
    for tensor, copy in zip((photo, rendered, covered), copies, strict=True):
        assert torch.equal(tensor, copy)
    assert bool(
        torch.isfinite(ResidualSegmenter()(photo, RenderedRegions(torch.zeros_like(covered), rendered=rendered))).all()
    )
    with pytest.raises(ValueError, match="positive scale and floor"):
        ResidualSegmenter(0.0)


def test_a_residual_of_three_medians_counts_a_quarter():
    rendered = torch.full((1, 3, 4, 5), 0.5)
    photo = rendered + 0.1
    photo[..., 0, 0] = 0.5 + 0.3
    weights = ResidualSegmenter()(photo, RenderedRegions(torch.ones(1, 1, 4, 5, dtype=torch.bool), rendered=rendered))
    assert float(weights[0, 0, 0, 0]) == pytest.approx(0.25, rel=1e-3)
    assert float(weights[0, 0, 1, 1]) == pytest.approx((1.0 + 1.0 / 9.0) ** -2, rel=1e-3)


def test_what_is_not_known_is_named():
    photo, covered = torch.zeros(1, 3, 4, 5), torch.ones(1, 1, 4, 5, dtype=torch.bool)
    with pytest.raises(
        SegmentationError, match="ResidualSegmenter needs covered, rendered .* and rendered is not known"
    ):
        ResidualSegmenter()(photo, RenderedRegions(covered))
    with pytest.raises(SegmentationError, match="covered, rendered are not known"):
        ResidualSegmenter()(photo, None)
