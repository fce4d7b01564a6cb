"""The discriminator of shapes."""

import pytest
import torch

from recon.networks.discriminator import ShapeDiscriminator, discriminator_vertices


def test_the_critic_judges_each_shape_alone():
    torch.manual_seed(0)
    critic = ShapeDiscriminator(torch.randn(7, 3), width=16)
    shapes = torch.randn(3, 7, 3)
    whole = critic(shapes)
    assert whole.shape == (3,)
    torch.testing.assert_close(torch.cat([critic(shapes[k : k + 1]) for k in range(3)]), whole)
    torch.testing.assert_close(critic(critic.mean_dm[None]), critic.layers(torch.zeros(1, 21)).squeeze(-1))
    with pytest.raises(ValueError, match="positive deviation in dm, got 0"):
        ShapeDiscriminator(torch.zeros(2, 3), deviation_dm=0.0)


def test_its_vertices_lie_in_the_region(open_model):
    rows = discriminator_vertices(open_model, 200)
    assert len(rows) == 200 and len(set(rows.tolist())) == 200
    assert bool(open_model.region("face")[rows].all())


def test_its_vertices_cover_the_face_evenly(open_model):
    """No place of the face is much farther from them than they are from each other."""
    rows = discriminator_vertices(open_model, 200)
    points, face = open_model.mean_shape[rows], open_model.mean_shape[open_model.region("face")]
    apart = torch.cdist(points, points).fill_diagonal_(torch.inf).amin(dim=1)
    assert float(torch.cdist(face, points).amin(dim=1).max()) <= float(apart.min()) + 1e-3
