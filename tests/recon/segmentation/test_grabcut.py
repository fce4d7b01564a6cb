"""Cutting the bare face out of a picture."""

import numpy as np
import pytest
import torch

import bfm
from recon.segmentation.grabcut import FaceGuess, cut_face, guess_face, strands

_HEIGHT, _WIDTH = 150, 130
_SKIN, _HAIR = np.array([205.0, 160.0, 135.0]), np.array([150.0, 120.0, 80.0])


def _disc(centre, radii):
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1.0


@pytest.fixture
def guess():
    face = _disc((75, 65), (52, 38))
    bare = _disc((80, 65), (16, 26))
    forehead = _disc((75, 65), (48, 34)) & (np.arange(_HEIGHT)[:, None] < 46)
    return FaceGuess(face, bare, forehead, _disc((70, 65), (60, 42)))


def _picture(covered, seed=0):
    """Skin, lit from one side, on hair, with the noise of a camera; ``covered`` shows hair too."""
    rng = np.random.default_rng(seed)
    light = np.linspace(0.8, 1.1, _WIDTH)[None, :, None]
    skin = _disc((75, 65), (52, 38)) & ~covered
    colours = np.where(skin[..., None], _SKIN * light, _HAIR * (0.8 + 0.4 * rng.random((_HEIGHT, _WIDTH, 1))))
    return (colours + rng.normal(0.0, 3.0, colours.shape)).clip(0, 255).astype(np.uint8)


def test_fringe_goes_and_skin_stays(guess):
    fringe = guess.face & (np.arange(_HEIGHT)[:, None] < 52)
    trust = cut_face(_picture(fringe), guess)
    assert trust.shape == (_HEIGHT, _WIDTH)
    assert trust.min() >= 0.0 and trust.max() <= 1.0
    assert trust[fringe].mean() < 0.1
    assert trust[guess.face & (np.arange(_HEIGHT)[:, None] > 58)].mean() > 0.8


def test_bare_forehead_stays(guess):
    trust = cut_face(_picture(np.zeros_like(guess.face)), guess)
    assert trust[guess.face].mean() > 0.85


def test_dark_spot_amid_skin_is_kept_but_believed_less(guess):
    picture = _picture(np.zeros_like(guess.face))
    brow = _disc((50, 52), (3, 9))
    picture[brow] = (90, 60, 45)
    trust = cut_face(picture, guess)
    assert 0.15 < trust[brow].mean() < 0.6


_YELLOW = np.array([200.0, 140.0, 80.0])


def _strands_on(where, colour=_YELLOW, seed=1):
    """Skin on which hair as light as skin lies in strands of three pixels."""
    lit = np.repeat(np.random.default_rng(seed).uniform(0.6, 1.25, _WIDTH // 3 + 1), 3)[None, :_WIDTH, None]
    colours = _picture(np.zeros((_HEIGHT, _WIDTH), bool)).astype(float)
    return np.where(where[..., None], colour * lit, colours).clip(0, 255).astype(np.uint8)


def test_hair_across_a_cheek_goes_and_the_other_half_stays(guess):
    left = np.arange(_WIDTH)[None, :] > 68
    beyond = ~_disc((75, 65), (55, 41))
    trust = cut_face(_strands_on((guess.face & left) | beyond), guess)
    assert trust[guess.bare & (np.arange(_WIDTH)[None, :] > 74)].mean() < 0.3
    assert trust[guess.face & (np.arange(_WIDTH)[None, :] < 60)].mean() > 0.8


def test_strands_of_the_skins_colour_on_a_forehead_go(guess):
    fringe = guess.forehead & (np.arange(_WIDTH)[None, :] < 60)
    trust = cut_face(_strands_on(fringe, colour=_SKIN), guess)
    assert trust[fringe & (np.arange(_WIDTH)[None, :] < 56)].mean() < 0.3
    assert trust[guess.forehead & (np.arange(_WIDTH)[None, :] > 66)].mean() > 0.8


def test_what_is_rough_all_over_is_no_hair(guess):
    """Freckles, a grainy photo: its skin is known by its colour as before, and the fringe still goes."""
    fringe = guess.face & (np.arange(_HEIGHT)[:, None] < 52)
    grain = np.random.default_rng(2).uniform(0.6, 1.25, (_HEIGHT, _WIDTH, 1))
    picture = (_picture(fringe) * grain).clip(0, 255).astype(np.uint8)
    assert not (strands(picture, guess) & guess.bare).any()
    trust = cut_face(picture, guess)
    assert trust[guess.bare].mean() > 0.7
    assert trust[fringe].mean() < 0.2


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
def test_what_is_dark_but_does_not_alternate_is_no_hair(guess, where):
    picture = _picture(np.zeros_like(guess.face)).astype(float)
    picture[where] *= 0.7
    assert not strands(picture.astype(np.uint8), guess).any()


@pytest.mark.parametrize("level", [0, 12, 250])
def test_the_outline_of_the_head_is_no_hair(guess, level):
    picture = np.where(guess.face[..., None], _SKIN, level).astype(np.uint8)
    assert not strands(picture, guess).any()


def test_what_lies_beyond_the_photo_is_no_hair(guess):
    """Crops are black there."""
    picture = _picture(np.zeros_like(guess.face))
    picture[:36] = 0
    assert not strands(picture, guess).any()


def test_strands_go_from_a_face_that_fills_the_picture(guess):
    everywhere = np.ones_like(guess.face)
    full = FaceGuess(everywhere, guess.bare, guess.forehead, everywhere)
    trust = cut_face(_strands_on(guess.forehead, colour=_SKIN), full)
    assert trust[guess.forehead].mean() < 0.4 and trust[guess.bare].mean() > 0.8


def test_pores_beside_flawless_skin_are_no_hair(guess):
    """Make-up or a drawing: what is many times nothing is still little."""
    grain = np.random.default_rng(3).uniform(0.96, 1.04, (_HEIGHT, _WIDTH, 1))
    picture = np.where(np.arange(_WIDTH)[None, :, None] > 65, _SKIN * grain, _SKIN).astype(np.uint8)
    assert not strands(picture, guess).any()


def test_nothing_outside_the_guess_is_trusted(guess):
    trust = cut_face(np.full((_HEIGHT, _WIDTH, 3), (205, 160, 135), np.uint8), guess)
    grown = _disc((75, 65), (55, 41))
    assert trust[~grown].max() == 0.0


def test_skin_beside_the_head_does_not_take_the_face_away(guess):
    """An arm beside the head: only what is unlike skin says what is not the face."""
    picture = _picture(np.zeros_like(guess.face))
    skin = picture[75, 60].copy()
    picture[:, :40] = skin
    assert cut_face(picture, guess)[guess.face].mean() > 0.85


def test_neck_is_no_face(guess):
    picture = _picture(np.zeros_like(guess.face))
    picture[115:, 40:90] = _SKIN
    grown = _disc((75, 65), (55, 41))
    assert cut_face(picture, guess)[~grown].max() == 0.0


def test_same_answer_twice(guess):
    picture = _picture(guess.face & (np.arange(_HEIGHT)[:, None] < 45))
    assert np.array_equal(cut_face(picture, guess), cut_face(picture, guess))


def test_a_face_that_fills_the_picture_needs_no_surroundings(guess):
    everywhere = np.ones_like(guess.face)
    trust = cut_face(_picture(np.zeros_like(guess.face)), FaceGuess(everywhere, guess.bare, guess.forehead, everywhere))
    assert trust[guess.bare].mean() > 0.8


def test_an_empty_guess_trusts_nothing(guess):
    nothing = np.zeros_like(guess.face)
    assert cut_face(_picture(nothing), FaceGuess(nothing, nothing, nothing, nothing)).max() == 0.0


def test_guess_of_a_drawn_model_takes_its_regions():
    model = bfm.load("open", n_identity=5, n_albedo=5)
    on_cheek = model.region("cheeks")[model.faces].all(dim=1).nonzero()[0, 0]
    on_forehead = (model.region("forehead") & model.region("face"))[model.faces].all(dim=1).nonzero()[0, 0]
    on_scalp = model.region("scalp")[model.faces].all(dim=1).nonzero()[0, 0]
    ids = torch.tensor([[-1, int(on_cheek), int(on_forehead), int(on_scalp)]])
    guess = guess_face(model, ids)
    assert guess.head.tolist() == [[False, True, True, True]]
    assert guess.face.tolist() == [[False, True, True, False]]
    assert guess.bare.tolist() == [[False, True, False, False]]
    assert guess.forehead.tolist() == [[False, False, True, False]]
