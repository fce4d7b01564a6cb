"""Topology of the 68 points, against a face model whose points were marked without it."""

import numpy as np
import pytest
import torch

from bfm.landmarks import FIVE_OF_68, MIRROR_68, OPENINGS_68, five_points_of_68


def test_mirroring_twice_is_nothing_and_sides_are_exchanged():
    assert sorted(MIRROR_68) == list(range(68))
    assert [MIRROR_68[k] for k in MIRROR_68] == list(range(68))
    assert MIRROR_68[36] == 45 and MIRROR_68[48] == 54 and MIRROR_68[8] == 8 and MIRROR_68[61] == 63


def test_mirrored_points_of_the_open_head_are_its_points(open_model):
    points = open_model.landmarks68(open_model.shape())[0]
    mirrored = points[list(MIRROR_68)] * torch.tensor([-1.0, 1.0, 1.0])
    assert float((mirrored - points).norm(dim=1).max()) < 1.0


def test_openings_lie_above_each_other_on_the_open_head(open_model):
    points = open_model.landmarks68(open_model.shape())[0].numpy()
    for upper, lower in OPENINGS_68:
        across, up, _ = points[upper] - points[lower]
        assert up > 0.0 and abs(across) < 4.0, (upper, lower)


def test_five_points_are_eyes_nose_and_mouth_in_numpy_and_torch(open_model):
    points = open_model.landmarks68(open_model.shape())
    five = five_points_of_68(points)
    assert five.shape == (1, 5, 3)
    left_eye, right_eye, nose, left_mouth, right_mouth = five[0]
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] > nose[1] > left_mouth[1] and nose[2] > left_eye[2]
    np.testing.assert_allclose(five_points_of_68(points.numpy()), five.numpy(), rtol=1e-5)
    numbered = five_points_of_68(np.arange(68.0)[:, None])[:, 0]
    np.testing.assert_allclose(numbered, [np.mean(rows) for rows in FIVE_OF_68])
    np.testing.assert_allclose(numbered, [38.5, 44.5, 30.0, 48.0, 54.0])


def test_other_numbers_of_points_have_no_five():
    with pytest.raises(ValueError, match=r"68 points .*got \(67, 2\)"):
        five_points_of_68(np.zeros((67, 2)))
