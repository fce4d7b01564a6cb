"""The critic of shapes and the default occlusion mask."""

import pytest
import torch

from recon.networks.discriminator import ShapeCritic, critic_vertices
from recon.segmentation.residual import ResidualOcclusion


def test_the_critic_judges_each_shape_alone():
    torch.manual_seed(0)
    critic = ShapeCritic(torch.randn(7, 3), width=16)
    shapes = torch.randn(3, 7, 3)
    whole = critic(shapes)
    assert whole.shape == (3,)
    torch.testing.assert_close(torch.cat([critic(shapes[k : k + 1]) for k in range(3)]), whole)
    torch.testing.assert_close(critic(critic.mean_dm[None]), critic.layers(torch.zeros(1, 21)).squeeze(-1))
    with pytest.raises(ValueError, match="positive deviation in dm, got 0"):
        ShapeCritic(torch.zeros(2, 3), deviation_dm=0.0)


def test_its_vertices_lie_in_the_region(open_model):
    rows = critic_vertices(open_model, 200)
    assert len(rows) == 200 and len(set(rows.tolist())) == 200
    assert bool(open_model.region("face")[rows].all())


def test_what_looks_unlike_the_render_is_hidden():
    generator = torch.Generator().manual_seed(0)
    rendered = torch.rand(2, 3, 12, 16, generator=generator)
    photo = (rendered + 0.02 * torch.randn(rendered.shape, generator=generator)).clamp(0, 1)
    photo[:, :, :4, :5] = 1.0 - rendered[:, :, :4, :5].round()
    covered = torch.ones(2, 1, 12, 16)
    covered[:, :, :, 12:] = 0.0
    copies = photo.clone(), rendered.clone(), covered.clone()
    mask = ResidualOcclusion()(photo, rendered, covered)
    assert float(mask[:, :, :4, :5].mean()) < 0.2 < 0.7 < float(mask[:, :, 4:, :12].mean())
    assert float(mask[:, :, :, 12:].abs().max()) == 0.0 and float(mask.max()) <= 1.0
    for tensor, copy in zip((photo, rendered, covered), copies, strict=True):
        assert torch.equal(tensor, copy)
    assert bool(torch.isfinite(ResidualOcclusion()(photo, rendered, torch.zeros_like(covered))).all())
    with pytest.raises(ValueError, match="positive scale and floor"):
        ResidualOcclusion(0.0)


def test_a_gap_of_three_medians_counts_a_quarter():
    rendered = torch.full((1, 3, 4, 5), 0.5)
    photo = rendered + 0.1
    photo[..., 0, 0] = 0.5 + 0.3
    weights = ResidualOcclusion()(photo, rendered, torch.ones(1, 1, 4, 5))
    assert float(weights[0, 0, 0, 0]) == pytest.approx(0.25, rel=1e-3)
    assert float(weights[0, 0, 1, 1]) == pytest.approx((1.0 + 1.0 / 9.0) ** -2, rel=1e-3)
