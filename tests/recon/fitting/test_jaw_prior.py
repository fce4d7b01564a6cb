"""What shows between the lips tells how likely an open jaw is."""

import numpy as np
import pytest

from recon.fitting.jaw_prior import jaw_prior_scale
from recon.fitting.terms.landmark import LIPS

SKIN, TOOTH, DARK, LIP = (190, 140, 115), (225, 215, 195), (40, 18, 16), (150, 75, 75)
SIZE_PX = 200.0


def face(parted_px, fill, gain=1.0, grey=False, landmark_set="478"):
    """A picture of skin with a mouth whose parting is filled from above with bands of colours, and its landmarks."""
    picture = np.tile(np.array(SKIN, dtype=float), (260, 240, 1))
    n_points = 478 if landmark_set == "478" else 68
    rng = np.random.default_rng(3)
    points = rng.uniform([20.0, 20.0], [220.0, 120.0], (n_points, 2))
    pairs = LIPS[landmark_set]
    for column, (upper, lower) in enumerate(pairs):
        points[upper] = [90.0 + 60.0 * column / len(pairs), 180.0]
        points[lower] = points[upper] + [0.0, parted_px]
    top = 180.0
    for share, colour in fill:
        bottom = top + share * parted_px
        picture[round(top) : round(bottom), 80:160] = colour
        top = bottom
    picture *= gain
    if grey:
        picture[:] = picture.mean(axis=2, keepdims=True)
    return picture.clip(0, 255).astype(np.uint8), points


@pytest.mark.parametrize("landmark_set", ["478", "68"])
def test_teeth_all_the_way_down_shut_the_jaw(landmark_set):
    teeth = jaw_prior_scale(*face(24.0, [(1.0, TOOTH)], landmark_set=landmark_set), SIZE_PX, landmark_set)
    dark = jaw_prior_scale(*face(24.0, [(1.0, DARK)], landmark_set=landmark_set), SIZE_PX, landmark_set)
    assert teeth < 0.25 and dark > 1.25


def test_upper_teeth_over_a_dark_mouth_lie_between():
    factors = [
        jaw_prior_scale(*face(30.0, [(share, TOOTH), (1.0 - share, DARK)]), SIZE_PX, "478")
        for share in (0.3, 0.5, 0.75)
    ]
    shut, dark = (jaw_prior_scale(*face(30.0, [(1.0, colour)]), SIZE_PX, "478") for colour in (TOOTH, DARK))
    assert dark >= factors[0] > factors[1] > factors[2] > shut


def test_a_tongue_or_lip_is_no_tooth():
    assert jaw_prior_scale(*face(24.0, [(1.0, LIP)]), SIZE_PX, "478") > 1.2


@pytest.mark.parametrize("gain", [0.4, 1.1])
def test_exposure_does_not_matter(gain):
    assert jaw_prior_scale(*face(24.0, [(1.0, TOOTH)], gain), SIZE_PX, "478") < 0.4


def test_grey_photos_tell_teeth_by_brightness():
    assert jaw_prior_scale(*face(24.0, [(1.0, TOOTH)], grey=True), SIZE_PX, "478") < 0.4
    assert jaw_prior_scale(*face(24.0, [(1.0, DARK)], grey=True), SIZE_PX, "478") > 1.5


def test_shut_lips_and_unknown_points_say_nothing():
    assert jaw_prior_scale(*face(3.0, [(1.0, TOOTH)]), SIZE_PX, "478") == 1.0
    assert jaw_prior_scale(*face(24.0, [(1.0, TOOTH)]), SIZE_PX, "520") == 1.0


def test_a_mouth_beyond_the_border_or_in_the_dark_says_nothing():
    picture, points = face(24.0, [(1.0, TOOTH)])
    assert jaw_prior_scale(picture, points + [0.0, 400.0], SIZE_PX, "478") == 1.0
    assert jaw_prior_scale(np.zeros_like(picture), points, SIZE_PX, "478") == 1.0
