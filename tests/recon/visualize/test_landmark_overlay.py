"""Landmarks drawn on photos."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.detection.landmark_sets import FaceLandmarks, LandmarkSet
from recon.visualize.landmark_overlay import HIDDEN_RGB, MAX_SIDE_PX, SEEN_RGB, landmark_overlay


def _landmarks(size: tuple[int, int], places, visible, sigma=None, name: str = "68") -> FaceLandmarks:
    width, height = size
    points = LandmarkSet(
        np.array(places, np.float32),
        sigma_px=None if sigma is None else np.full(len(places), sigma, np.float32),
        visible=None if visible is None else np.array(visible, np.float32),
    )
    box = np.array([0.0, 0.0, width, height], np.float32)
    return FaceLandmarks("photo", size, 1.0, box, 1.0, "some", 0, "not known", {name: points})


def _colour_at(picture: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    return tuple(int(value) for value in picture[int(y), int(x)])


def test_seen_and_hidden_points_have_their_colours_and_the_rest_stays():
    photo = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    picture = landmark_overlay(photo, _landmarks((400, 300), [[50.5, 60.5], [200.5, 100.5]], [0.9, 0.1]))
    assert picture.shape == photo.shape
    assert _colour_at(picture, 50, 60) == SEEN_RGB and _colour_at(picture, 200, 100) == HIDDEN_RGB
    changed = np.argwhere((picture != photo).any(axis=2))
    near = [np.abs(changed - place).max(axis=1) <= 5 for place in ([60, 50], [100, 200])]
    assert (near[0] | near[1]).all() and all(part.any() for part in near)
    # The middle of what is drawn is the point.
    assert np.allclose(changed[near[0]].mean(axis=0), [60, 50], atol=0.25)


def test_points_of_detectors_that_do_not_tell_are_drawn_as_seen():
    photo = np.zeros((300, 400, 3), np.uint8)
    picture = landmark_overlay(photo, _landmarks((400, 300), [[50.5, 60.5]], None))
    assert _colour_at(picture, 50, 60) == SEEN_RGB


def test_circles_of_one_sigma_stand_around_the_68_only():
    photo = np.zeros((300, 400, 3), np.uint8)
    for name, circled in (("68", True), ("520", False)):
        picture = landmark_overlay(photo, _landmarks((400, 300), [[200.0, 150.0]], [1.0], sigma=40.0, name=name))
        rows, columns = np.nonzero(picture.any(axis=2))
        radius = np.hypot(columns + 0.5 - 200.0, rows + 0.5 - 150.0)
        assert (np.abs(radius[radius > 10.0] - 40.0) < 1.5).all()
        assert (radius > 10.0).any() == circled


@pytest.mark.parametrize("size", [(3200, 40), (1, 4000)])
def test_large_photos_are_reduced_with_their_points(size):
    width, height = size
    x, y = 0.75 * width, 0.5 * height
    picture = landmark_overlay(np.zeros((height, width, 3), np.uint8), _landmarks(size, [[x, y]], [1.0]))
    assert max(picture.shape) == MAX_SIDE_PX and min(picture.shape[:2]) >= 1
    lit = picture.any(axis=2)
    assert lit[int(picture.shape[0] * 0.5), int(picture.shape[1] * 0.75)]


def test_a_photo_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"lie in a photo of \(400, 300\) px, this one has \(300, 400\)"):
        landmark_overlay(np.zeros((400, 300, 3), np.uint8), _landmarks((400, 300), [[1.0, 1.0]], None))


def test_the_68_are_drawn_above_the_others():
    photo = np.zeros((300, 400, 3), np.uint8)
    both = _landmarks((400, 300), [[200.5, 150.5]], [0.0])
    other = _landmarks((400, 300), [[200.5, 150.5]], [1.0]).sets["68"]
    picture = landmark_overlay(photo, dataclasses.replace(both, sets={"68": both.sets["68"], "520": other}))
    assert _colour_at(picture, 200, 150) == HIDDEN_RGB
