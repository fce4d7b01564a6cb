"""Crops of speaking faces: they stay still while the jaw moves, and an edit touches nothing but the rectangle."""

import numpy as np
import pytest
import torch

import bfm
from recon.dubbing.face_crops import MouthCropError, mouth_crops, smoothed
from recon.rotation import euler_to_matrix


@pytest.fixture(scope="module")
def model():
    return bfm.load("open")


def _points_px(model, weights=None, turn_deg=(0.0, 0.0, 0.0), px_per_mm=1.5, at_px=(200.0, 150.0)):
    """The 68 points of the mean head as a far camera sees them."""
    expression = torch.zeros(1, model.n_expression)
    for name, weight in (weights or {}).items():
        expression[0, model.expression_names.index(name)] = weight
    points = model.landmarks68(model.shape(None, expression))[0]
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([turn_deg])))[0]
    turned = points @ rotation.T
    return (turned[:, :2].numpy() * [1.0, -1.0]) * px_per_mm + np.array(at_px)


def test_a_crop_stays_where_it_is_when_the_jaw_opens(model):
    shut, opened = (mouth_crops(_points_px(model, {"jawOpen": w})[None])[0] for w in (0.0, 1.0))
    corners = np.array([[0.0, 0.0], [400.0, 300.0]])
    assert np.abs(shut.points(corners) - opened.points(corners)).max() < 0.02
    assert np.abs(np.array(shut.hidden) - np.array(opened.hidden)).max() < 0.02


@pytest.mark.parametrize("turn_deg", [(0.0, 0.0, 0.0), (0.0, 20.0, 0.0), (12.0, -20.0, 8.0), (-10.0, 5.0, -25.0)])
def test_the_rectangle_hides_lips_and_jaw_and_shows_the_nose(model, turn_deg):
    for weights in ({}, {"jawOpen": 1.0}, {"mouthPucker": 1.0}):
        points_px = _points_px(model, weights, turn_deg)
        crop = mouth_crops(points_px[None])[0]
        at = crop.points(points_px)
        left, top, right, bottom = crop.hidden
        lips_and_jaw = at[[*range(4, 13), *range(48, 68)]]
        seen = (lips_and_jaw >= 0.0).all(axis=1) & (lips_and_jaw <= 1.0).all(axis=1)
        inside = (lips_and_jaw > [left, top]).all(axis=1) & (lips_and_jaw < [right, bottom]).all(axis=1)
        assert inside[seen].all() and seen[9:].all()
        assert (at[[27, 30, 31, 35], 1] < top).all()


def test_a_crop_shows_a_face_alike_wherever_and_however_large_it_is(model):
    crops = [
        mouth_crops(_points_px(model, None, (0.0, 0.0, roll), scale, at)[None])[0].points(
            _points_px(model, None, (0.0, 0.0, roll), scale, at)
        )
        for roll, scale, at in ((0.0, 1.0, (100.0, 90.0)), (30.0, 2.5, (300.0, 250.0)), (-15.0, 0.4, (40.0, 30.0)))
    ]
    assert np.abs(crops[0] - crops[1]).max() < 1e-3 and np.abs(crops[0] - crops[2]).max() < 1e-3


def test_an_edit_touches_nothing_outside_the_rectangle(model):
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, size=(260, 360, 3), dtype=np.uint8)
    crop = mouth_crops(_points_px(model, None, (5.0, 10.0, 10.0), 1.2, (180.0, 90.0))[None])[0]
    drawn = np.full((64, 64, 3), 255, dtype=np.uint8)
    edited = crop.pasted(frame, drawn)
    y, x = np.nonzero((edited != frame).any(axis=2))
    at = crop.points(np.stack((x + 0.5, y + 0.5), axis=1))
    left, top, right, bottom = crop.hidden
    assert len(at) > 1000 and at[:, 0].min() > left and at[:, 0].max() < right and at[:, 1].min() > top
    centre = crop.points(np.array([[0.0, 0.0]])) * 0 + [(left + right) / 2, (top + bottom) / 2]
    middle_px = (centre - crop.crop_from_frame[:2, 2]) @ np.linalg.inv(crop.crop_from_frame[:2, :2]).T
    column, row = middle_px[0].astype(int)
    assert (edited[row, column] == 255).all()


def test_a_crop_goes_back_where_it_came_from(model):
    y, x = np.mgrid[0:300, 0:400]
    smooth = np.stack([np.clip(60 + 0.3 * x, 0, 255), np.clip(40 + 0.5 * y, 0, 255), 128 + 0 * x], axis=2).astype(
        np.uint8
    )
    crop = mouth_crops(_points_px(model, None, (0.0, 10.0, 5.0), 1.0, (190.0, 120.0))[None])[0]
    again = crop.pasted(smooth, crop.picture(smooth, 128))
    assert np.abs(again.astype(int) - smooth.astype(int)).max() <= 3


def test_smoothing_keeps_the_ends_and_straight_motion():
    straight = np.arange(20.0)[:, None] * [1.0, -2.0]
    assert np.allclose(smoothed(straight), straight)
    noisy = np.random.default_rng(1).standard_normal((50, 3))
    found = smoothed(noisy)
    assert np.allclose(found[0], noisy[0]) and np.allclose(found[25], noisy[22:29].mean(axis=0))
    assert np.allclose(found[1], noisy[0:3].mean(axis=0)) and np.allclose(found[-1], noisy[-1])


def test_points_that_make_no_face_are_refused():
    with pytest.raises(MouthCropError, match="finite points"):
        mouth_crops(np.full((3, 68, 2), np.nan))
    with pytest.raises(MouthCropError, match="one spot"):
        mouth_crops(np.zeros((3, 68, 2)))
    assert mouth_crops(np.zeros((0, 68, 2))) == []


def test_corners_of_an_edit_are_round():
    from recon.dubbing.face_crops import _depth_inside

    rectangle = (0.1, 0.4, 0.9, 1.0)
    at = np.array([[0.5, 0.4], [0.1, 0.7], [0.1, 0.4], [0.12, 0.42], [0.5, 0.7], [0.32, 0.4], [0.5, 0.35]])
    found = _depth_inside(at, rectangle)
    np.testing.assert_allclose(found[[0, 1, 4, 6]], [0.0, 0.0, 0.3, -0.05], atol=1e-9)
    assert found[2] < -0.08 and found[3] < 0.0 and abs(found[5]) < 1e-9
