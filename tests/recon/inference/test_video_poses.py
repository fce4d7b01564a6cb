"""What a video is searched with: the surroundings of a face that is followed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.detection import detect
from recon.inference.video_poses import SearchNear
from recon.io.image import Photo


def test_a_face_is_found_again_in_its_surroundings(astronaut, own_detector):
    """At its place in the frame, whatever the scale, and at the border; elsewhere nothing is searched."""
    photo = Photo(np.ascontiguousarray(astronaut[30:330, 150:450]))
    (known, *_) = detect(photo.pixels, own_detector, min_face_px=60.0)
    near = SearchNear(own_detector)
    (found,) = near(photo, known)
    assert float(np.abs(found.points5 - known.points5).max()) < 0.04 * known.size_px
    assert float(np.abs(found.box - known.box).max()) < 0.06 * known.size_px and found.score > 0.5
    away = dataclasses.replace(known, points5=known.points5 + np.array([3.0 * known.size_px, 0.0]))
    assert all(np.abs(one.points5 - known.points5).max() > 0.5 * known.size_px for one in near(photo, away))
    outside = dataclasses.replace(known, points5=known.points5 - 1000.0)
    assert near(photo, outside) == []
    large = Photo(np.kron(photo.pixels, np.ones((2, 2, 1), np.uint8)))
    (twice,) = near(large, known.scaled(2.0))
    assert float(np.abs(0.5 * twice.points5 - known.points5).max()) == pytest.approx(0.0, abs=0.04 * known.size_px)
