"""Occluders as one mesh, whose parts carry attributes of their own kind."""

import pytest
import torch

from recon.synthesis import SEGMENT_NAMES, FaceSampler, SynthesisConfig
from recon.synthesis.geometry.attributes import ClothAttributes, HairAttributes, SurfaceAttributes, part_columns


def test_columns_are_read_back():
    columns = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SurfaceAttributes.of_columns(columns).columns(), columns)


def test_a_part_has_attributes_of_its_own_kind_only():
    like = torch.zeros(2, 5, 3)
    filled = SurfaceAttributes.of_columns(part_columns(ClothAttributes(*torch.ones(3, 2, 5)), like))
    assert torch.equal(filled.cloth.neckline_mm, torch.ones(2, 5))
    assert filled.hair.curl.abs().max() == filled.glasses.opacity.abs().max() == 0.0
    assert part_columns(None, like).abs().max() == 0.0
    hair = HairAttributes(*torch.arange(3.0)[:, None, None].expand(3, 2, 5))
    assert part_columns(hair, like)[0, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def occluders(head_model):
    config = SynthesisConfig(hair=1.0, clothes=1.0, glasses=1.0, occluders=1.0, yaw_deg=20.0)
    return FaceSampler(head_model, config, seed=3, size=(32, 32)).scene(range(4)).occluders


def _of(occluders, name, values):
    """Values at the vertices of one segment."""
    faces = occluders.faces[occluders.segments == SEGMENT_NAMES.index(name)]
    return values[:, faces.unique()]


def test_parts_keep_their_attributes_in_the_joined_mesh(occluders):
    attributes = occluders.attributes
    tip = _of(occluders, "hair", attributes.hair.tip_distance_mm)
    assert tip.min() == 0.0 and 20.0 < tip.max() < 1000.0
    below = _of(occluders, "clothes", attributes.cloth.below_edge_mm)
    assert (below.min(), below.max()) == (0.0, 300.0)
    assert _of(occluders, "clothes", attributes.cloth.azimuth_rad).abs().max() <= torch.pi
    opacity = _of(occluders, "glasses", attributes.glasses.opacity)
    assert (opacity == 1.0).any() and (opacity < 1.0).any() and opacity.min() > 0.0
    assert _of(occluders, "occluder", attributes.columns()).abs().max() == 0.0


def test_clothes_lie_lower_the_farther_they_are_below_the_edge(occluders):
    below = _of(occluders, "clothes", occluders.attributes.cloth.below_edge_mm)
    height = _of(occluders, "clothes", occluders.v_cam[..., 1])
    top, bottom = (height[:, below[0] == value].mean(dim=1) for value in (0.0, 300.0))
    assert (top - bottom > 200.0).all()
