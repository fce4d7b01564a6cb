"""Segmentation of visible skin by a graph cut."""

import dataclasses

import numpy as np
import pytest
import torch

from recon.segmentation.grabcut import GrabCutSegmenter, RegionMasks, hair_strands, surroundings, visible_skin_mask
from recon.segmentation.segmenter import RenderedRegions, SegmentationError

_HEIGHT, _WIDTH = 150, 130
_SKIN, _HAIR = np.array([205.0, 160.0, 135.0]), np.array([150.0, 120.0, 80.0])


def _disc(centre, radii):
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1.0


@pytest.fixture
def regions():
    face = _disc((75, 65), (52, 38))
    skin_core = _disc((80, 65), (16, 26))
    forehead = _disc((75, 65), (48, 34)) & (np.arange(_HEIGHT)[:, None] < 46)
    return RegionMasks(_disc((70, 65), (60, 42)), face, skin_core, forehead)


def _picture(covered, seed=0):
    """Skin, lit from one side, on hair, with the noise of a camera; ``covered`` shows hair too."""
    rng = np.random.default_rng(seed)
    light = np.linspace(0.8, 1.1, _WIDTH)[None, :, None]
    skin = _disc((75, 65), (52, 38)) & ~covered
    colours = np.where(skin[..., None], _SKIN * light, _HAIR * (0.8 + 0.4 * rng.random((_HEIGHT, _WIDTH, 1))))
    return (colours + rng.normal(0.0, 3.0, colours.shape)).clip(0, 255).astype(np.uint8)


def test_fringe_goes_and_skin_stays(regions):
    fringe = regions.face & (np.arange(_HEIGHT)[:, None] < 52)
    confidence = visible_skin_mask(_picture(fringe), regions)
    assert confidence.shape == (_HEIGHT, _WIDTH)
    assert confidence.min() >= 0.0 and confidence.max() <= 1.0
    assert confidence[fringe].mean() < 0.1
    assert confidence[regions.face & (np.arange(_HEIGHT)[:, None] > 58)].mean() > 0.8


def test_bare_forehead_stays(regions):
    confidence = visible_skin_mask(_picture(np.zeros_like(regions.face)), regions)
    assert confidence[regions.face].mean() > 0.85


def _lowered(regions, n_rows):
    """The same head in a picture with more rows on top."""
    pads = ((n_rows, 0), (0, 0))
    return RegionMasks(*(np.pad(getattr(regions, f.name), pads) for f in dataclasses.fields(regions)))


@pytest.mark.parametrize("n_rows", [1, 40, 130])
def test_the_mask_moves_with_the_head(regions, n_rows):
    """Below the surroundings of the head lie its neck and shoulders, here with the colour of hair, wherever it is."""
    around = surroundings(regions)
    lowered = surroundings(_lowered(regions, n_rows))
    assert np.array_equal(lowered[n_rows:], around) and lowered[:n_rows].all()
    assert not around[120:].any() and around[:100, :20].all()

    picture = _picture(regions.face & (np.arange(_HEIGHT)[:, None] < 52))
    more = np.tile(picture[:20], (7, 1, 1))[:n_rows]
    moved = visible_skin_mask(np.concatenate([more, picture]), _lowered(regions, n_rows))
    assert np.abs(moved[n_rows:] - visible_skin_mask(picture, regions)).mean() < 0.01 and not moved[:n_rows].any()


def test_dark_spot_amid_skin_is_kept_but_believed_less(regions):
    picture = _picture(np.zeros_like(regions.face))
    brow = _disc((50, 52), (3, 9))
    picture[brow] = (90, 60, 45)
    confidence = visible_skin_mask(picture, regions)
    assert 0.15 < confidence[brow].mean() < 0.6


_YELLOW = np.array([200.0, 140.0, 80.0])


def _strands_on(where, colour=_YELLOW, seed=1):
    """Skin on which hair as light as skin lies in strands of three pixels."""
    lit = np.repeat(np.random.default_rng(seed).uniform(0.6, 1.25, _WIDTH // 3 + 1), 3)[None, :_WIDTH, None]
    colours = _picture(np.zeros((_HEIGHT, _WIDTH), bool)).astype(float)
    return np.where(where[..., None], colour * lit, colours).clip(0, 255).astype(np.uint8)


def test_hair_across_a_cheek_goes_and_the_other_half_stays(regions):
    left = np.arange(_WIDTH)[None, :] > 68
    beyond = ~_disc((75, 65), (55, 41))
    confidence = visible_skin_mask(_strands_on((regions.face & left) | beyond), regions)
    assert confidence[regions.skin_core & (np.arange(_WIDTH)[None, :] > 74)].mean() < 0.3
    assert confidence[regions.face & (np.arange(_WIDTH)[None, :] < 60)].mean() > 0.8


def test_strands_of_the_skins_colour_on_a_forehead_go(regions):
    fringe = regions.forehead & (np.arange(_WIDTH)[None, :] < 60)
    confidence = visible_skin_mask(_strands_on(fringe, colour=_SKIN), regions)
    assert confidence[fringe & (np.arange(_WIDTH)[None, :] < 56)].mean() < 0.3
    assert confidence[regions.forehead & (np.arange(_WIDTH)[None, :] > 66)].mean() > 0.8


def test_what_is_rough_all_over_is_no_hair(regions):
    """Freckles, a grainy photo: its skin is known by its colour as before, and the fringe still goes."""
    fringe = regions.face & (np.arange(_HEIGHT)[:, None] < 52)
    grain = np.random.default_rng(2).uniform(0.6, 1.25, (_HEIGHT, _WIDTH, 1))
    picture = (_picture(fringe) * grain).clip(0, 255).astype(np.uint8)
    assert not (hair_strands(picture, regions) & regions.skin_core).any()
    confidence = visible_skin_mask(picture, regions)
    assert confidence[regions.skin_core].mean() > 0.7
    assert confidence[fringe].mean() < 0.2


@pytest.mark.parametrize(
    "where",
    [
        (slice(None), slice(54, 56)),
        (slice(38, 40), slice(None)),
        _disc((40, 60), (2.5, 2.5)) | _disc((85, 60), (2.5, 2.5)),
        (slice(None), slice(58, None)),
    ],
    ids=["fold", "wrinkle", "mole", "shadow"],
)
def test_what_is_dark_but_does_not_alternate_is_no_hair(regions, where):
    picture = _picture(np.zeros_like(regions.face)).astype(float)
    picture[where] *= 0.7
    assert not hair_strands(picture.astype(np.uint8), regions).any()


@pytest.mark.parametrize("level", [0, 12, 250])
def test_the_outline_of_the_head_is_no_hair(regions, level):
    picture = np.where(regions.face[..., None], _SKIN, level).astype(np.uint8)
    assert not hair_strands(picture, regions).any()


def test_what_lies_beyond_the_photo_is_no_hair(regions):
    """Crops are black there."""
    picture = _picture(np.zeros_like(regions.face))
    picture[:36] = 0
    assert not hair_strands(picture, regions).any()


def test_strands_go_from_a_face_that_fills_the_picture(regions):
    everywhere = np.ones_like(regions.face)
    full = RegionMasks(everywhere, everywhere, regions.skin_core, regions.forehead)
    confidence = visible_skin_mask(_strands_on(regions.forehead, colour=_SKIN), full)
    assert confidence[regions.forehead].mean() < 0.4 and confidence[regions.skin_core].mean() > 0.8


def test_pores_beside_flawless_skin_are_no_hair(regions):
    """Make-up or a drawing: what is many times nothing is still little."""
    grain = np.random.default_rng(3).uniform(0.96, 1.04, (_HEIGHT, _WIDTH, 1))
    picture = np.where(np.arange(_WIDTH)[None, :, None] > 65, _SKIN * grain, _SKIN).astype(np.uint8)
    assert not hair_strands(picture, regions).any()


def test_nothing_outside_the_guess_is_confidenceed(regions):
    confidence = visible_skin_mask(np.full((_HEIGHT, _WIDTH, 3), (205, 160, 135), np.uint8), regions)
    grown = _disc((75, 65), (55, 41))
    assert confidence[~grown].max() == 0.0


def test_skin_beside_the_head_does_not_take_the_face_away(regions):
    """An arm beside the head: only what is unlike skin says what is not the face."""
    picture = _picture(np.zeros_like(regions.face))
    skin = picture[75, 60].copy()
    picture[:, :40] = skin
    assert visible_skin_mask(picture, regions)[regions.face].mean() > 0.85


def test_neck_is_no_face(regions):
    picture = _picture(np.zeros_like(regions.face))
    picture[115:, 40:90] = _SKIN
    grown = _disc((75, 65), (55, 41))
    assert visible_skin_mask(picture, regions)[~grown].max() == 0.0


def test_same_answer_twice(regions):
    picture = _picture(regions.face & (np.arange(_HEIGHT)[:, None] < 45))
    assert np.array_equal(visible_skin_mask(picture, regions), visible_skin_mask(picture, regions))


def test_a_face_that_fills_the_picture_needs_no_surroundings(regions):
    everywhere = np.ones_like(regions.face)
    confidence = visible_skin_mask(
        _picture(np.zeros_like(regions.face)), RegionMasks(everywhere, everywhere, regions.skin_core, regions.forehead)
    )
    assert confidence[regions.skin_core].mean() > 0.8


def test_an_empty_guess_confidences_nothing(regions):
    nothing = np.zeros_like(regions.face)
    assert visible_skin_mask(_picture(nothing), RegionMasks(nothing, nothing, nothing, nothing)).max() == 0.0


def test_the_segmenter_answers_each_picture_of_a_batch_as_if_alone(regions):
    moved = RegionMasks(*(np.roll(mask, 6, axis=1) for mask in vars(regions).values()))
    pixels = [_picture(regions.face & (np.arange(_HEIGHT)[:, None] < 52)), np.roll(_picture(regions.face), 6, axis=1)]
    pixels[1][moved.skin_core] = _SKIN
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255.0
    both = zip(vars(regions).values(), vars(moved).values(), strict=True)
    masks = [torch.from_numpy(np.stack(pair))[:, None] for pair in both]
    before = images.clone()
    answer = GrabCutSegmenter()(images, RenderedRegions(*masks))
    assert answer.shape == (2, 1, _HEIGHT, _WIDTH) and answer.dtype == images.dtype
    for row, one, own in zip(answer[:, 0], pixels, (regions, moved), strict=True):
        assert torch.equal(row, torch.from_numpy(visible_skin_mask(one, own)).float())
    assert torch.equal(images, before)


def test_a_prior_without_regions_is_refused():
    images = torch.zeros(1, 3, 8, 8)
    covered = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    with pytest.raises(SegmentationError, match="GrabCutSegmenter needs .* face, skin_core, forehead are not known"):
        GrabCutSegmenter()(images, RenderedRegions(covered))
