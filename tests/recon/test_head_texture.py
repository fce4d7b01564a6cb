"""Texels: values of vertices at them, and what lies between the islands."""

import numpy as np
import torch

import bfm
from recon.texture import TexelMap, _padded


def test_texels_hold_the_values_of_the_surface_and_nothing_elsewhere():
    model = bfm.load("open", n_identity=2, n_albedo=2)
    texels = TexelMap.of(model, 64)
    places = texels.sample(model.mean_shape, model.faces)
    covered = texels.triangles >= 0
    assert 0.3 < float(covered.float().mean()) < 1.0
    assert not bool(places[~covered].any())
    # The slow way, texel by texel.
    for row, column in torch.nonzero(covered)[::97].tolist():
        corners = model.mean_shape[model.faces[texels.triangles[row, column]]]
        wanted = texels.barycentrics[row, column] @ corners
        assert torch.allclose(places[row, column], wanted, rtol=0.0, atol=1e-4)


def test_colours_spread_eight_texels_beyond_an_island_and_the_rest_is_the_mean():
    covered = torch.zeros(50, 50, dtype=torch.bool)
    covered[10:15, 10:20] = True
    covered[35:40, 10:20] = True
    colours = torch.full((50, 50, 3), 0.9)
    colours[10:15, 10:20] = torch.tensor([0.2, 0.4, 0.6])
    colours[35:40, 10:20] = torch.tensor([0.4, 0.6, 0.8])
    before = colours.clone()
    padded = _padded(colours, covered)
    assert torch.equal(colours, before)
    assert (padded[2:23, 2:28] == np.round(255 * np.array([0.2, 0.4, 0.6]))).all()
    assert (np.abs(padded[12, 29:] - 255 * np.array([0.3, 0.5, 0.7])) <= 1.0).all()


def test_a_texture_without_any_island_is_black():
    assert not _padded(torch.rand(7, 7, 3), torch.zeros(7, 7, dtype=torch.bool)).any()
