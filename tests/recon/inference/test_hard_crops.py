"""What the landmark network of the package says of crops that are hard or show no face."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from recon.inference.dense_landmark_detector import DenseLandmarkDetector, face_from_landmarks
from recon.inference.landmarks import LandmarkRegressor

CENTRE = np.array([226.0, 118.0])
POINTS5 = CENTRE + [[-22.0, -20.0], [25.0, -20.0], [2.0, 3.0], [-20.0, 25.0], [22.0, 25.0]]
"""Roughly the astronaut's."""


@pytest.fixture(scope="module")
def network():
    return LandmarkRegressor()


@pytest.fixture(scope="module")
def usual(network, astronaut):
    return network(astronaut, POINTS5)


def size_px(dense):
    return float(np.sqrt(np.prod(np.ptp(dense.points_px[:, :2], axis=0))))


def resized(image, factor):
    height, width = (round(factor * side) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def noise():
    return np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "picture",
    [noise, lambda: np.full((400, 400, 3), 128, np.uint8), skimage.data.rocket, skimage.data.coffee],
    ids=["noise", "grey", "rocket", "coffee"],
)
def test_where_no_face_is_the_network_is_too_unsure_for_one(network, usual, picture):
    assert face_from_landmarks(usual, 0.1) is not None
    dense = network(np.ascontiguousarray(picture()), POINTS5)
    assert face_from_landmarks(dense, 0.45) is None
    assert np.median(dense.sigma_px) / size_px(dense) > 2.5 * np.median(usual.sigma_px) / size_px(usual)


@pytest.mark.parametrize(("side_px", "most"), [(48, 0.025), (24, 0.06)])
def test_small_faces_are_found_with_wider_sigmas(network, astronaut, usual, side_px, most):
    factor = side_px / size_px(usual)
    dense = network(resized(astronaut, factor), factor * POINTS5)
    error = np.linalg.norm(dense.points_px[:, :2] / factor - usual.points_px[:, :2], axis=1).mean() / size_px(usual)
    assert error < most
    assert np.median(dense.sigma_px) / side_px > np.median(usual.sigma_px) / size_px(usual)


def test_a_cover_over_the_mouth_widens_the_sigmas_beneath_it(network, astronaut, usual):
    covered = astronaut.copy()
    covered[122:180, 170:285] = (90, 140, 200)
    dense = network(covered, POINTS5)
    below = (usual.points_px[:, 1] > 130.0) & (np.abs(usual.points_px[:, 0] - 228.0) < 45.0)
    above = usual.points_px[:, 1] < 100.0
    widened = dense.sigma_px / usual.sigma_px
    assert np.median(widened[below]) > 1.5 and np.median(widened[below]) > np.median(widened[above])
    assert dense.visible[below].mean() < usual.visible[below].mean() - 0.2
    assert face_from_landmarks(dense, 0.45) is not None


def test_half_a_face_at_the_border_is_less_certain(network, astronaut, usual):
    middle = int(POINTS5[2, 0])
    dense = network(np.ascontiguousarray(astronaut[:, middle:]), POINTS5 - [middle, 0.0])
    outside = usual.points_px[:, 0] < middle - 5.0
    assert np.median(dense.sigma_px) > 1.3 * np.median(usual.sigma_px)
    assert dense.visible[outside].mean() < usual.visible[outside].mean() - 0.2


def test_of_two_faces_side_by_side_each_crop_shows_its_own(network, astronaut, usual):
    face = astronaut[40:220, 150:310]
    pair = np.ascontiguousarray(np.concatenate((face, face[:, ::-1]), axis=1))
    first, second = (
        network(pair, points) for points in (POINTS5 - [150.0, 40.0], POINTS5 - [150.0, 40.0] + [163.0, 0.0])
    )
    assert first.points_px[:, 0].mean() < 160.0 < second.points_px[:, 0].mean()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_on_its_side_or_head_shows_the_same_face_turned(astronaut, quarters):
    with DenseLandmarkDetector() as detector:
        (upright,) = detector.detect(astronaut, 60.0)
        (turned,) = detector.detect(np.ascontiguousarray(np.rot90(astronaut, quarters)), 60.0)
    assert turned.rotation_deg == (360 - 90 * quarters) % 360 or turned.rotation_deg == 90 * quarters
    back = turned.points5.copy()
    for _ in range(quarters):  # rot90 takes (x, y) of a square picture to (y, side - x)
        back = np.stack((512.0 - back[:, 1], back[:, 0]), axis=1)
    assert np.linalg.norm(back - upright.points5, axis=1).mean() < 0.02 * upright.size_px
