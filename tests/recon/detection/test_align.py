from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.detection import AlignmentError, align
from recon.detection.align import STANDARD_POINTS_MM


def view(yaw_deg: float = 0.0, roll_deg: float = 0.0, px_per_mm: float = 2.0) -> np.ndarray:
    """The standard face seen from afar: turned about the vertical, then clockwise in the picture, around (300, 200)."""
    yaw, roll = np.radians([yaw_deg, roll_deg])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    flat = (STANDARD_POINTS_MM @ turn.T)[:, :2] * [1, -1] * px_per_mm
    clockwise = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return flat @ clockwise.T + [300.0, 200.0]


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0, -75.0])
@pytest.mark.parametrize("px_per_mm", [0.2, 7.0])
def test_framing_of_deng_et_al_at_any_yaw(yaw_deg: float, px_per_mm: float) -> None:
    alignment = align(view(yaw_deg, 11.0, px_per_mm))
    assert alignment.scale * px_per_mm == pytest.approx(1.02)
    np.testing.assert_allclose(alignment.crop_points(np.array([300.0, 200.0])), [112.0, 112.0], atol=1e-9)
    assert alignment.picture_turn_rad == 0.0
    larger = align(view(yaw_deg, 11.0, px_per_mm), 448)
    assert larger.scale == pytest.approx(2 * alignment.scale)


@pytest.mark.parametrize("roll_deg", [0.0, 25.0, 90.0, -170.0])
def test_roll_is_removed_when_asked(roll_deg: float) -> None:
    alignment = align(view(0.0, roll_deg), remove_roll=True)
    assert np.degrees(alignment.picture_turn_rad) == pytest.approx(-roll_deg)
    upright = alignment.crop_points(view(0.0, roll_deg))
    np.testing.assert_allclose(upright, STANDARD_POINTS_MM[:, :2] * [1.02, -1.02] + 112, atol=1e-9)


@pytest.mark.parametrize("remove_roll", [False, True])
def test_maps_are_inverse(remove_roll: bool) -> None:
    alignment = align(view(20.0, 33.0), remove_roll=remove_roll)
    points = np.random.default_rng(0).uniform(-50, 900, (4, 7, 2))
    np.testing.assert_allclose(alignment.photo_points(alignment.crop_points(points)), points, atol=1e-9)
    np.testing.assert_allclose(alignment.crop_from_photo @ alignment.photo_from_crop, np.eye(3), atol=1e-12)


def test_crop_shows_what_the_map_says() -> None:
    """A bright dot in the photo lies in the crop where the point map puts it, to a tenth of a pixel."""
    image = np.zeros((400, 600, 3), np.uint8)
    image[150:157, 340:347] = 255  # centre (343.5, 153.5)
    for points in (view(0.0, 20.0, 1.0), view(0.0, 20.0, 3.0)):
        for remove_roll in (False, True):
            alignment = align(points, remove_roll=remove_roll)
            weights = alignment.crop(image)[:, :, 0].astype(np.float64)
            y, x = np.mgrid[:224, :224] + 0.5
            found = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
            np.testing.assert_allclose(found, alignment.crop_points(np.array([343.5, 153.5])), atol=0.1)
            # Area-correct: the dot's share of light is its area in the crop.
            assert weights.sum() / 255 == pytest.approx(49 * alignment.scale**2, rel=0.06)


def test_crop_does_not_alias_when_shrinking() -> None:
    stripes = np.zeros((1600, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = align(view(0.0, 0.0, 7.0) + [500, 600]).crop(stripes)
    assert np.ptp(crop[20:-20, 20:-20].astype(int)) <= 6
    assert abs(int(crop[112, 112, 0]) - 128) <= 3


def test_crop_beyond_the_photo_is_filled(astronaut: np.ndarray) -> None:
    crop = align(view() - [300.0, 200.0]).crop(astronaut, fill=(1, 2, 3))
    assert crop.shape == (224, 224, 3) and crop.dtype == np.uint8
    assert (crop[:100, :100] == [1, 2, 3]).all()


@pytest.mark.parametrize("remove_roll", [False, True])
def test_crop_camera_sees_what_the_photo_camera_sees(remove_roll: bool) -> None:
    alignment = align(view(15.0, -40.0), remove_roll=remove_roll)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    camera = PerspectiveCamera.at(
        turn[None],
        torch.tensor([[30.0, -20.0, -800.0]], dtype=torch.float64),
        size=(400, 600),
        focal_px=torch.tensor([[900.0, 900.0]], dtype=torch.float64),
        principal_px=torch.tensor([[310.0, 180.0]], dtype=torch.float64),
    )
    v_obj = 80 * torch.randn(1, 11, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    in_photo = camera.to_pixels(camera.to_camera(v_obj))
    crop_camera = alignment.crop_camera(camera)
    in_crop = crop_camera.to_pixels(crop_camera.to_camera(v_obj))
    np.testing.assert_allclose(in_crop[0], alignment.crop_points(in_photo[0].numpy()), atol=1e-8)
    back = alignment.photo_camera(crop_camera)
    torch.testing.assert_close(back.to_pixels(back.to_camera(v_obj)), in_photo)


def test_turned_crop_needs_square_pixels() -> None:
    camera = PerspectiveCamera.at(focal_px=torch.tensor([[900.0, 950.0]]))
    align(view(0.0, 30.0)).crop_camera(camera)
    with pytest.raises(AlignmentError, match="one focal length"):
        align(view(0.0, 30.0), remove_roll=True).crop_camera(camera)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.full((5, 2), np.nan), "five finite points"),
        (np.zeros((4, 2)), "five finite points"),
        (np.full((5, 2), 7.0), "on one spot or line"),
        (np.outer(np.arange(5.0), [1.0, 2.0]), "on one spot or line"),
        (view()[[1, 0, 2, 4, 3]], "left and right seem exchanged"),
    ],
)
def test_points_no_face_has(points: np.ndarray, message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        align(points)


def test_points_are_left_alone() -> None:
    points = view(10.0, 5.0)
    before = points.copy()
    align(points, remove_roll=True).crop_points(points)
    np.testing.assert_array_equal(points, before)
