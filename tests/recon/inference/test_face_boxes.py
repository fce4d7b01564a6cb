"""The face box network on photos: what it finds at which scale, and what it does not take for a face."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from recon.detection.regions import Roi
from recon.inference.face_boxes import FaceBox, FaceBoxFinder, _distinct, normalize_exposure
from recon.networks.network_file import CheckpointError


@pytest.fixture(scope="module")
def finder():
    return FaceBoxFinder()


def resized(image, size):
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("size", "smallest"), [((480, 640), 20.0), ((40, 30), 20.0), ((6000, 100), 94.0), ((64, 64), 60.0)]
)
def test_scales_reach_from_the_whole_photo_to_the_smallest_face(finder, size, smallest):
    low_px, high_px = finder.config.face_px
    scales = finder.scales(size, smallest)
    assert scales[0] * max(size) < high_px, "a face as large as the photo is small enough"
    assert scales[-1] * smallest > low_px or len(scales) == 1, "the smallest is large enough"
    assert all(first < second <= 1.415 * first for first, second in zip(scales, scales[1:], strict=False))


def test_the_astronaut_is_found_once_with_her_points(finder, astronaut):
    box = finder(astronaut, 60.0)[0]
    assert np.linalg.norm(box.points5 - [[204, 98], [251, 98], [228, 121], [206, 143], [248, 143]], axis=1).max() < 16.0
    assert 70.0 < box.roi.side_px < 140.0 and abs(box.roi.angle_rad) < 0.35
    assert 0.5 < box.score <= 1.0


@pytest.mark.parametrize("size", [(900, 900), (300, 300), (180, 250)])
def test_boxes_scale_with_the_photo(finder, astronaut, size):
    usual, scaled = finder(astronaut, 60.0)[0], finder(resized(astronaut, size), 20.0)[0]
    factor = np.array([size[1], size[0]]) / 512.0
    assert np.linalg.norm(scaled.points5 / factor - usual.points5, axis=1).mean() < 0.12 * usual.roi.side_px


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photo_has_a_turned_box(finder, astronaut, quarters):
    turned = finder(np.ascontiguousarray(np.rot90(astronaut, quarters)), 60.0, 90 * quarters)[0]
    usual = finder(astronaut, 60.0)[0]
    difference = turned.roi.angle_rad - usual.roi.angle_rad + 0.5 * np.pi * quarters
    assert abs((difference + np.pi) % (2.0 * np.pi) - np.pi) < 1e-6 and abs(turned.score - usual.score) < 1e-5


@pytest.mark.parametrize("name", ["rocket", "coffee", "brick", "grass"])
def test_things_are_no_sure_faces(finder, name):
    picture = getattr(skimage.data, name)()
    picture = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
    assert all(box.score < 0.6 for box in finder(np.ascontiguousarray(picture), 40.0))


def test_equal_photos_give_equal_boxes(finder, astronaut):
    first, second = finder(astronaut, 60.0), finder(astronaut, 60.0)
    assert [box.score for box in first] == [box.score for box in second]


def test_faces_in_the_dark_are_found_in_the_evened_photo(finder, astronaut):
    dark = (astronaut * 0.1).astype(np.uint8)
    shown = normalize_exposure(dark)
    assert abs(shown.mean() / 255.0 - 0.45) < 0.03 and np.array_equal(dark, (astronaut * 0.1).astype(np.uint8))
    usual, found = finder(astronaut, 60.0)[0], finder(shown, 60.0)[0]
    assert np.linalg.norm(found.points5 - usual.points5, axis=1).mean() < 0.1 * usual.roi.side_px
    for flat in (0, 128, 255):
        assert normalize_exposure(np.full((9, 7, 3), flat, np.uint8)).shape == (9, 7, 3)


def test_one_face_seen_at_two_scales_is_one_box():
    points = np.zeros((5, 2))
    near, far = Roi(52.0, 50.0, 44.0, 0.0), Roi(90.0, 50.0, 40.0, 0.0)
    nose = Roi(50.0, 52.0, 12.0, 0.0)
    rois = [Roi(50.0, 50.0, 40.0, 0.0), near, far, nose]
    boxes = [FaceBox(roi, points, score) for roi, score in zip(rois, (0.9, 0.8, 0.7, 0.6), strict=True)]
    assert [box.score for box in _distinct(boxes)] == [0.9, 0.7, 0.6]


def test_a_missing_network_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        FaceBoxFinder(tmp_path / "none.safetensors")
