"""Brows that are computed per pixel: where they lie, how wide they are, and whose."""

import dataclasses

import pytest
import torch

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.appearance.brows import BrowCurve, Brows
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.people import sample_people


@pytest.fixture(scope="module")
def curve(open_model):
    return BrowCurve.of(open_model)


def _plain(curve, batch=2, **changes):
    """Brows without single hairs, 8 mm wide; the second person's are half as wide."""
    ones = torch.ones(batch)
    brows = Brows(
        curve=curve,
        colour=0.05 * torch.ones(batch, 3),
        density=0.9 * ones,
        thickness_mm=torch.tensor([8.0, 4.0])[:batch],
        raised_mm=0.0 * ones,
        start_mm=12.0 * ones,
        end_mm=52.0 * ones,
        strands=0.0 * ones,
        noise_offset=torch.zeros(batch, 3),
    )
    return dataclasses.replace(brows, **changes)


def _column(curve, across_mm, below_mm):
    """Points of the mean head's front below the upper edge."""
    below = torch.as_tensor(below_mm, dtype=torch.float32)
    across = torch.full_like(below, across_mm)
    return torch.stack((across, curve.height(across.abs()) - below, torch.full_like(below, curve.front_mm)), dim=-1)


def test_the_upper_edge_is_where_brows_are_marked(open_model, curve):
    marks = open_model.landmarks68(open_model.mean_shape[None])[0, 22:27]
    assert torch.allclose(curve.height(marks[:, 0].contiguous()), marks[:, 1], atol=1e-4)
    cover = _plain(curve).cover(_column(curve, 30.0, [-2.0, 0.0, 2.0, 5.0, 12.0]), torch.zeros(5, dtype=torch.int64))
    assert cover[0] == 0.0 and 0.2 < cover[1] < 0.7 and cover[2] > 0.85 and cover[3] > 0.5 and cover[4] == 0.0


def test_a_brow_is_as_wide_as_its_person_has_it_and_thin_at_its_tail(curve):
    below = torch.arange(-3.0, 14.0, 0.05)
    points = torch.cat((_column(curve, 25.0, below), _column(curve, 25.0, below), _column(curve, 49.0, below)))
    picture = torch.tensor([0, 1, 0]).repeat_interleave(len(below))
    wide, narrow, tail = (0.05 * (_plain(curve).cover(points, picture) / 0.9).view(3, -1)).sum(dim=1)
    assert wide == pytest.approx(8.0, abs=0.5) and narrow == pytest.approx(4.0, abs=0.5)
    assert tail < 0.5 * wide


def test_both_sides_have_brows_and_the_back_of_the_head_none(curve):
    points = _column(curve, 30.0, [2.0, 4.0])
    mirrored, behind = points * torch.tensor([-1.0, 1.0, 1.0]), points * torch.tensor([1.0, 1.0, 0.0]) - 80.0
    picture = torch.zeros(2, dtype=torch.int64)
    brows = _plain(curve)
    assert torch.equal(brows.cover(points, picture), brows.cover(mirrored, picture))
    assert not brows.cover(torch.cat((behind[:, :2] + 80.0, behind[:, 2:]), dim=1), picture).any()


def test_hair_shows_where_it_covers_and_skin_elsewhere(curve):
    points = _column(curve, 30.0, [-3.0, 3.0])
    skin = torch.full((2, 3), 0.5)
    with_brows = _plain(curve).over_albedo(skin, points, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(with_brows[0], skin[0])
    assert torch.allclose(with_brows[1], torch.full((3,), 0.5 + 0.9 * (0.05 - 0.5)), atol=0.02)


def test_people_differ_in_their_brows_and_keep_them(open_model, curve):
    rng = CounterRng.of(3, range(400))
    people = sample_people(open_model, rng, 1.0, 1.0)
    hair = torch.full((400, 3), 0.05)
    brows = Brows.of(curve, people, rng, hair, 1.0)
    alone = Brows.of(
        curve, sample_people(open_model, CounterRng.of(3, [7]), 1.0, 1.0), CounterRng.of(3, [7]), hair[:1], 1.0
    )
    assert torch.equal(brows.density[7:8], alone.density) and torch.equal(brows.start_mm[7:8], alone.start_mm)
    male = people.column("male") > 0.5
    assert brows.thickness_mm[male].mean() > 1.2 * brows.thickness_mm[~male].mean()
    assert brows.density.min() < 0.15 and brows.density.max() > 0.8 and brows.thickness_mm.std() > 1.0
    bare = Brows.of(curve, people, rng, hair, 0.0)
    points = _column(curve, 30.0, torch.full((400,), 3.0))
    assert not bare.cover(points, torch.arange(400)).any()
    assert (brows.cover(points, torch.arange(400)) > 0.0).float().mean() > 0.95


def test_a_model_without_the_region_has_no_curve(open_model):
    data = open_model.data()
    regions = {name: rows for name, rows in data.regions.items() if name != "brows"}
    assert BrowCurve.of(bfm.MorphableModel(dataclasses.replace(data, regions=regions))) is None


def test_single_hairs_show_on_both_sides_and_leave_the_cover_as_dense(curve):
    across = torch.linspace(20.0, 40.0, 400)
    right = torch.stack((across, curve.height(across) - 3.0, torch.full_like(across, curve.front_mm)), dim=-1)
    brows = _plain(curve, strands=torch.ones(2))
    picture = torch.zeros(400, dtype=torch.int64)
    for side in (1.0, -1.0):
        cover = brows.cover(right * torch.tensor([side, 1.0, 1.0]), picture)
        smooth = _plain(curve).cover(right * torch.tensor([side, 1.0, 1.0]), picture)
        assert cover.std() > 0.05 and cover.mean() == pytest.approx(float(smooth.mean()), rel=0.15)


def test_synthetic_people_have_dark_brows_where_the_segment_is_and_skin_without_hair(open_model):
    """Two people in the picture: what hides their skin is in the segment of the brows, and is gone with all hair."""
    config = SynthesisConfig.clean(hair=1.0, skin_detail=0.0, yaw_deg=5.0, pitch_deg=5.0, roll_deg=0.0)
    with_hair, without = (
        FaceSampler(open_model, dataclasses.replace(config, hair=hair), 11, (192, 192)).scene(range(6))
        for hair in (1.0, 0.0)
    )
    assert without.brows is None and with_hair.brows is not None
    with_brows = with_hair.albedo_with_brows(open_model.mean_shape)
    brows = open_model.region("brows")
    darkest = (1.0 - with_brows / with_hair.albedo)[:, brows].amax(dim=(1, 2))
    assert bool((darkest > 0.02).all()) and (darkest > 0.25).float().mean() >= 0.5
    rest = ~(brows | open_model.region("eyelids"))
    assert float((with_hair.albedo - with_brows)[:, rest].abs().mean()) < 3e-3
    # Below those brows there is skin, not the model's own brows.
    cheeks = with_hair.albedo[:, open_model.region("cheeks")].mean(dim=1)
    below = with_hair.albedo[:, brows].mean(dim=1)
    assert float((below - cheeks).abs().max()) < 0.1


def test_lips_are_of_all_shades_and_show_more_or_less_of_their_red(open_model):
    sampler = FaceSampler(open_model, SynthesisConfig(make_up=0.0), 12, (64, 64))
    scene = sampler.scene(range(40))
    lips, cheeks = (scene.albedo[:, open_model.region(name)].mean(dim=1) for name in ("lips", "cheeks"))
    redness = (lips[:, 0] / lips[:, 1]) / (cheeks[:, 0] / cheeks[:, 1])
    assert redness.min() < 1.03 and redness.max() > 1.2
    rolled = scene.expression[:, open_model.expression_names.index("mouthRollLower")]
    assert rolled.min() < 0.1 and rolled.max() > 0.35
