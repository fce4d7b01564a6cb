from __future__ import annotations

import numpy as np
import pytest

from recon.detection.regions import Roi, reduced, tile_sides, tiles, turn_to_photo

HEIGHT, WIDTH = 7, 11


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_turned_pixels_lead_back_to_the_photo(turn_deg: int) -> None:
    """Against an array that says where each pixel came from; ``np.rot90(..., -1)`` turns clockwise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    origin = np.rot90(np.stack([x, y], axis=-1), -turn_deg // 90)
    to_photo = turn_to_photo((HEIGHT, WIDTH), turn_deg)
    for row, column in np.ndindex(origin.shape[:2]):
        found = to_photo @ [column + 0.5, row + 0.5, 1.0]
        np.testing.assert_allclose(found[:2], origin[row, column] + 0.5)


def test_region_maps_its_crop_to_the_photo() -> None:
    roi = Roi(100.0, 50.0, 40.0, np.pi / 2)  # turned clockwise: its x axis points down
    to_photo = roi.to_photo(20)
    np.testing.assert_allclose(to_photo @ [10, 10, 1], [100, 50, 1])
    np.testing.assert_allclose(to_photo @ [20, 10, 1], [100, 70, 1])
    np.testing.assert_allclose(to_photo @ [10, 20, 1], [80, 50, 1])
    again = Roi(10.0, 10.0, 20.0, 0.0).moved(to_photo)
    assert (again.x, again.y, again.side_px, again.angle_rad) == pytest.approx((100.0, 50.0, 40.0, np.pi / 2))
    assert roi.scaled(0.5).side_px == 20.0 and roi.distance_px(Roi(103.0, 54.0, 1.0, 0.0)) == pytest.approx(5.0)


def test_tiles_cover_every_small_face() -> None:
    """Any face at the size a level is for lies whole in one of its tiles, wherever it is."""
    for size in [(300, width) for width in range(310, 1500, 70)]:
        for side_px in tile_sides(size, 30.0)[1:]:
            squares = list(tiles(size, side_px))
            face_px = 0.17 * side_px
            for centre in np.random.default_rng(0).uniform([0, 0], [size[1], size[0]], (50, 2)):
                reach = [max(abs(centre[0] - t.x), abs(centre[1] - t.y)) + face_px / 2 for t in squares]
                inside_photo = np.minimum(centre, [size[1], size[0]] - centre).min() > face_px / 2
                assert not inside_photo or min(reach) <= side_px / 2 + 1e-9


def test_levels_are_reduced_but_never_enlarged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    same, to_image = reduced(image, 0.4)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(to_image, np.eye(3))
    small, to_image = reduced(image, 3.0)
    assert small.shape == (20, 30, 3)
    np.testing.assert_array_equal(to_image, np.diag([3.0, 3.0, 1.0]))
    np.testing.assert_allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1.5)
