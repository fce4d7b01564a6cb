"""Figures of edited pictures against closed forms and plain loops."""

import numpy as np
import pytest
import scipy.ndimage

from recon.evaluation.metrics.edited_pictures import cpbd, frechet_distance, region_psnr, region_ssim


def _picture(seed=0, size=(40, 56)):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*size, 3), dtype=np.uint8)


def test_equal_pictures_are_alike_and_only_the_rectangle_counts():
    first = _picture()
    second = first.copy()
    second[:10] = 255 - second[:10]
    assert region_ssim(first, first) == pytest.approx(1.0) and region_psnr(first, first) == float("inf")
    assert region_ssim(second, first, (4, 20, 50, 40)) == pytest.approx(1.0)
    assert region_psnr(second, first, (4, 10, 50, 40)) == float("inf")
    assert region_ssim(second, first, (0, 0, 56, 10)) < 0.2


def test_psnr_is_the_printed_formula():
    first = np.full((8, 12, 3), 100, dtype=np.uint8)
    assert region_psnr(first + np.uint8(5), first) == pytest.approx(10.0 * np.log10(255.0**2 / 25.0))


def test_ssim_is_the_printed_formula_in_the_middle_of_a_window():
    """One pixel by the definition: Gaussian weights over a neighbourhood."""
    first, second = _picture(1).astype(float), _picture(2).astype(float)
    reach = np.arange(-5, 6)
    weight = np.exp(-0.5 * (reach / 1.5) ** 2)
    weight = np.outer(weight, weight) / np.outer(weight, weight).sum()
    row, column, values = 20, 30, []
    for channel in range(3):
        a, b = (p[row - 5 : row + 6, column - 5 : column + 6, channel] for p in (first, second))
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        spread_a, spread_b = (weight * a * a).sum() - mean_a**2, (weight * b * b).sum() - mean_b**2
        shared = (weight * a * b).sum() - mean_a * mean_b
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append(
            (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))
        )
    found = region_ssim(second.astype(np.uint8), first.astype(np.uint8), (column, row, column + 1, row + 1))
    assert found == pytest.approx(np.mean(values), abs=1e-6)


def test_blur_lowers_cpbd_and_flat_pictures_have_none():
    steps = np.kron(np.random.default_rng(3).integers(0, 2, (12, 12)), np.ones((16, 16))) * 200.0 + 20.0
    sharpness = [
        cpbd(np.repeat(scipy.ndimage.gaussian_filter(steps, sigma)[..., None], 3, axis=2).astype(np.uint8))
        for sigma in (0.0, 0.35, 0.6, 3.0)
    ]
    assert sharpness[0] == 1.0 and sharpness[0] >= sharpness[1] > sharpness[2] >= sharpness[3] == 0.0
    assert np.isnan(cpbd(np.full((64, 64, 3), 90, dtype=np.uint8)))


def test_the_distance_of_gaussians():
    random = np.random.default_rng(4)
    first = random.standard_normal((40_000, 3)) * [1.0, 2.0, 0.5] + [0.0, 1.0, 2.0]
    second = random.standard_normal((40_000, 3)) * [2.0, 2.0, 1.5] + [3.0, 1.0, 0.0]
    assert frechet_distance(first, first) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(9.0 + 4.0 + 1.0 + 1.0, rel=0.02)
    # A turn of both changes nothing.
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(frechet_distance(first, second), rel=1e-6)
    with pytest.raises(ValueError, match="at least two rows of one width"):
        frechet_distance(first[:1], second)
