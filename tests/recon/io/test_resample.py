from __future__ import annotations

import numpy as np
import pytest

from recon.io.resample import resample


def _shifted(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_whole_pixels_are_copied_exactly(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(resample(noise, np.eye(3), (90, 120)), noise)
    np.testing.assert_array_equal(resample(noise, _shifted(17, 5), (40, 30)), noise[5:45, 17:47])
    quarter_turn = np.array([[0.0, -1, 120], [1, 0, 0], [0, 0, 1]])  # result x runs down the picture
    np.testing.assert_array_equal(resample(noise, quarter_turn, (120, 90)), np.rot90(noise, 1))


def test_a_part_is_the_same_as_the_middle_of_a_larger_part(noise: np.ndarray) -> None:
    """Filters see their neighbours beyond the part's border."""
    cos, sin = 0.7 * np.cos(0.4), 0.7 * np.sin(0.4)
    to_image = np.array([[cos, -sin, 50.3], [sin, cos, 30.1], [0, 0, 1]])
    large = resample(noise, to_image @ _shifted(-9, -9), (38, 48))
    assert np.abs(resample(noise, to_image, (20, 30)).astype(int) - large[9:29, 9:39]).max() <= 1


def test_outside_is_filled(noise: np.ndarray) -> None:
    result = resample(noise, _shifted(-10, 80), (20, 20), fill=(9, 8, 7))
    assert (result[:, :10] == [9, 8, 7]).all() and (result[10:] == [9, 8, 7]).all()
    np.testing.assert_array_equal(result[:10, 10:], noise[80:, :10])
    assert (resample(noise, _shifted(500, 0), (4, 4), fill=(9, 8, 7)) == [9, 8, 7]).all()


def test_impossible_maps(noise: np.ndarray) -> None:
    with pytest.raises(ValueError, match="singular"):
        resample(noise, np.diag([1.0, 0.0, 1.0]), (4, 4))
    with pytest.raises(ValueError, match="size of a resampled picture"):
        resample(noise, np.eye(3), (0, 4))
