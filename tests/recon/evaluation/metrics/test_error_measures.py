"""NME, pose and depth errors and statistics against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from recon.datasets.pose_conventions import CONVENTIONS, angles_to_matrix, matrix_to_angles
from recon.evaluation.metrics.depth import aligned_depth, depth_errors, grey_errors, to_grey
from recon.evaluation.metrics.nme import balanced_means, normalised_error, without_depth_offset, yaw_bin
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.evaluation.metrics.statistics import bootstrap_interval, cumulative_curve, summarise
from recon.rotation import euler_to_matrix, matrix_to_euler

POINTS = np.random.default_rng(2).uniform(size=(68, 3)) * [160.0, 90.0, 70.0]


@pytest.mark.parametrize("dims", [2, 3])
def test_points_moved_by_k_percent_of_the_box_have_an_error_of_k(dims):
    true = POINTS[:, :dims]
    size = math.sqrt(np.ptp(true[:, 0]) * np.ptp(true[:, 1]))
    direction = np.array([0.6, 0.8, 0.0])[:dims] if dims == 2 else np.array([2.0, -1.0, 2.0]) / 3.0
    assert normalised_error(true + 0.035 * size * direction, true) == pytest.approx(3.5)


def test_only_visible_points_count_but_the_box_is_of_all():
    visible = np.zeros(68, dtype=bool)
    visible[:3] = True
    moved = POINTS[:, :2] + np.where(visible[:, None], [3.0, 4.0], 1000.0)
    size = math.sqrt(np.ptp(POINTS[:, 0]) * np.ptp(POINTS[:, 1]))
    assert normalised_error(moved, POINTS[:, :2], visible) == pytest.approx(500.0 / size)
    assert normalised_error(moved, POINTS[:, :2], visible, size=50.0) == pytest.approx(10.0)


def test_a_depth_offset_is_removed_and_nothing_else():
    moved = POINTS + [0.0, 0.0, 400.0]
    np.testing.assert_allclose(without_depth_offset(moved, POINTS), POINTS)
    tilted = POINTS * [1.0, 1.0, 2.0]
    assert normalised_error(without_depth_offset(tilted, POINTS), POINTS) > 1.0


@pytest.mark.parametrize(
    ("predicted", "true", "text"),
    [
        (POINTS[:5], POINTS, "one shape"),
        (POINTS, POINTS * 0.0, "no area"),
        (POINTS * np.nan, POINTS, "nan or inf"),
    ],
)
def test_points_that_cannot_be_measured_are_refused(predicted, true, text):
    with pytest.raises(ValueError, match=text):
        normalised_error(predicted, true)
    with pytest.raises(ValueError, match="no point is visible"):
        normalised_error(POINTS, POINTS, np.zeros(68, dtype=bool))


def test_yaw_bins_close_on_the_left():
    assert [yaw_bin(a) for a in (0.0, -29.9, 30.0, -60.0, 90.0, 90.1)] == [0, 0, 1, 2, 2, None]


def test_balanced_subset_weighs_the_bins_alike():
    values, bins = [1.0] * 50 + [4.0] * 5 + [7.0] * 5, [0] * 50 + [1] * 5 + [2] * 5
    assert balanced_means(values, bins) == (pytest.approx(4.0), pytest.approx(0.0), 5)
    mixed = [*np.linspace(0.0, 2.0, 50), *values[50:]]
    mean, spread, size = balanced_means(mixed, bins, n_subsets=300)
    assert mean == pytest.approx(4.0, abs=0.05) and 0.0 < spread < 0.3 and size == 5
    assert balanced_means(mixed, bins, seed=7)[0] == balanced_means(mixed, bins, seed=7)[0]
    assert balanced_means([1.0, 2.0], [0, 1])[2] == 0


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_angles_go_there_and_back(convention):
    rng = np.random.default_rng(4)
    for yaw, pitch, roll in rng.uniform([-89.0, -80.0, -80.0], [89.0, 80.0, 80.0], (50, 3)):
        back = matrix_to_angles(angles_to_matrix(np.array([yaw, pitch, roll]), convention), convention)
        np.testing.assert_allclose(back, [yaw, pitch, roll], atol=1e-9)


def test_ours_is_the_convention_of_the_renderer():
    yaw, pitch, roll = 40.0, -25.0, 10.0
    expected = euler_to_matrix(torch.deg2rad(torch.tensor([pitch, yaw, roll], dtype=torch.float64)))
    np.testing.assert_allclose(angles_to_matrix(np.array([yaw, pitch, roll])), expected.numpy(), atol=1e-12)
    back = torch.rad2deg(matrix_to_euler(expected)).numpy()
    np.testing.assert_allclose(matrix_to_angles(expected.numpy()), back[[1, 0, 2]], atol=1e-9)


def test_equation_9_does_not_invert_equation_7():
    """Of the head pose paper (Basak et al. 2021): Eq. 7 composes Rx Ry Rz, Eq. 9 takes Rz Ry Rx apart. Worked out by hand."""
    yaw, pitch, roll = matrix_to_angles(angles_to_matrix(np.array([30.0, 20.0, -15.0]), "xyz"), "zyx")
    np.testing.assert_allclose([pitch, yaw, roll], [14.4, 32.8, -5.3], atol=0.05)


def test_single_angles_mean_the_same_in_all_conventions():
    for k, name in enumerate(("yaw", "pitch", "roll")):
        angles = np.zeros(3)
        angles[k] = 20.0
        assert geodesic_deg(angles_to_matrix(angles, "zyx"), angles_to_matrix(angles, "xyz")) < 1e-9
        opposite = angles_to_matrix(-angles, "300wlp")
        assert geodesic_deg(angles_to_matrix(angles, "zyx"), opposite) < 1e-9, name


def test_the_gimbal_lock_is_survived():
    for sign in (-1.0, 1.0):
        matrix = angles_to_matrix(np.array([sign * 90.0, 20.0, 0.0]))
        assert geodesic_deg(angles_to_matrix(matrix_to_angles(matrix)), matrix) < 1e-6
    with pytest.raises(ValueError, match="unknown angle convention 'zxy'"):
        matrix_to_angles(np.eye(3), "zxy")


def test_angle_differences_go_the_short_way_round():
    np.testing.assert_allclose(
        angle_differences(np.array([179.0, 10.0, -5.0]), np.array([-179.0, -10.0, -5.0])), [2, 20, 0]
    )


def test_geodesic_of_known_turns():
    for angle in (1e-5, 1.0, 90.0, 179.0):
        assert geodesic_deg(angles_to_matrix(np.array([0.0, angle, 0.0])), np.eye(3)) == pytest.approx(angle, rel=1e-6)


TRUE = np.array([[400.0, 500.0], [800.0, 1000.0], [1000.0, 0.0]])
FOUND = np.array([[440.0, 450.0], [800.0, 1250.0], [1600.0, 7.0]])
MASK = TRUE > 0.0


def test_depth_errors_by_hand():
    found = depth_errors(FOUND, TRUE, MASK)
    gaps, g = np.array([40.0, -50.0, 0.0, 250.0, 600.0]), np.array([400.0, 500.0, 800.0, 1000.0, 1000.0])
    logs = np.log([1.1, 0.9, 1.0, 1.25, 1.6])
    expected = {
        "abs_rel": (0.1 + 0.1 + 0.0 + 0.25 + 0.6) / 5,
        "sq_rel": (4.0 + 5.0 + 0.0 + 62.5 + 360.0) / 5,
        "mae": 940.0 / 5,
        "rmse": math.sqrt((1600 + 2500 + 0 + 62500 + 360000) / 5),
        "rmse_log": math.sqrt((logs**2).sum() / 5),
        "rmse_log_printed": (logs**2).sum() / 5,
        "si_rmse": math.sqrt((logs**2).sum() / 5 - (logs.sum() / 5) ** 2),
        "nrmse": math.sqrt(426600 / 5) / 600.0,
        "r2": 1.0 - 426600 / ((g - g.mean()) ** 2).sum(),
        "delta_1": 3 / 5,  # 1.25 itself is not below 1.25
        "delta_2": 4 / 5,
        "delta_3": 5 / 5,
        "delta_1/4": 1 / 5,
        "delta_1/3": 1 / 5,
        "delta_1/2": 2 / 5 + 1 / 5,
    }
    assert gaps.sum() == 840.0
    assert found.n_pixels == 5
    assert found.values == pytest.approx(expected)


def test_pixels_off_the_mask_do_not_dilute():
    padded_true, padded_found = np.full((9, 7), 10.0), np.full((9, 7), 10.0)
    padded_true[:3, :2], padded_found[:3, :2] = TRUE, FOUND
    mask = np.zeros((9, 7), dtype=bool)
    mask[:3, :2] = MASK
    assert depth_errors(padded_found, padded_true, mask) == depth_errors(FOUND, TRUE, MASK)


def test_depth_alignments_undo_what_they_name():
    true = np.array([300.0, 350.0, 420.0, 500.0])
    np.testing.assert_allclose(aligned_depth(true / 3.0, true, "scale"), true)
    np.testing.assert_allclose(aligned_depth(true / 3.0 + 40.0, true, "scale and shift"), true)
    np.testing.assert_allclose(aligned_depth(np.full(4, 9.0), true, "scale and shift"), true.mean())
    shifted = true[None] / 2.0 + 40.0
    mask = np.ones((1, 4), dtype=bool)
    assert depth_errors(shifted, true[None], mask, "scale").values["rmse"] > 1.0
    assert depth_errors(shifted, true[None], mask, "scale and shift").values["rmse"] < 1e-9
    with pytest.raises(ValueError, match="unknown depth alignment"):
        aligned_depth(true, true, "affine")


def test_depths_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        depth_errors(FOUND, TRUE, np.zeros_like(MASK))
    with pytest.raises(ValueError, match="true depth is not positive and finite on 1 of 6"):
        depth_errors(FOUND, TRUE, np.ones_like(MASK))
    with pytest.raises(ValueError, match="predicted depth is not positive"):
        depth_errors(np.where(FOUND > 1000.0, np.nan, FOUND), TRUE, MASK)
    with pytest.raises(ValueError, match="maps and mask differ"):
        depth_errors(FOUND, TRUE, MASK[:2])


def test_interval_covers_the_mean_and_follows_groups():
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, 1.0, 200)
    found = summarise(values)
    assert found.low < found.mean < found.high and found.n == 200
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.15)
    # 20 pictures of each of 10 people, all alike: only 10 independent values.
    per_person = rng.normal(5.0, 1.0, 10)
    repeated = np.repeat(per_person, 20)
    low, high = bootstrap_interval(repeated, np.repeat(np.arange(10), 20))
    assert high - low == pytest.approx(2 * 1.96 * per_person.std() / math.sqrt(10), rel=0.2)
    assert np.isnan(bootstrap_interval(repeated, np.zeros(200))).all()


def test_summary_leaves_nan_out_and_survives_nothing():
    assert summarise([1.0, float("nan"), 3.0]).mean == 2.0
    assert summarise([]).n == 0 and math.isnan(summarise([]).mean)


def test_failed_samples_lower_the_cumulative_curve():
    curve = cumulative_curve([1.0, 2.0, 3.0], np.array([0.5, 1.0, 2.5, 10.0]), n_failed=1)
    np.testing.assert_allclose(curve, [0.0, 25.0, 50.0, 75.0])


def test_a_balanced_subset_takes_nobody_twice():
    """With as many samples in each bin, every subset is all of them."""
    values, bins = [1.0, 5.0, 2.0, 8.0, 3.0, 9.0], [0, 0, 1, 1, 2, 2]
    mean, spread, each = balanced_means(values, bins, n_subsets=20)
    assert (mean, each) == (pytest.approx(28.0 / 6.0), 2) and spread == pytest.approx(0.0, abs=1e-12)


def test_the_median_scale_is_not_moved_by_outliers():
    true = np.array([300.0, 350.0, 420.0, 500.0, 510.0])
    np.testing.assert_allclose(aligned_depth(true / 3.0, true, "median"), true)
    spoiled = np.where(true == 510.0, 9000.0, true / 3.0)
    np.testing.assert_allclose(aligned_depth(spoiled, true, "median")[:4], true[:4])
    assert np.abs(aligned_depth(spoiled, true, "scale")[:4] - true[:4]).min() > 100.0


def test_grey_values_span_the_box_around_a_face():
    np.testing.assert_allclose(
        to_grey(np.array([440.0, 600.0, 680.0, 760.0, 900.0, 10.0]), 600.0), [1, 128, 191.5, 255, 255, 1]
    )


def test_grey_errors_by_hand():
    true = np.array([[600.0, 600.0, 560.0], [640.0, np.nan, 600.0]])
    found = np.where(np.isfinite(true), true + np.array([[0.0, 16.0, 0.0], [-32.0, 0.0, 0.0]]), 5.0)
    mask = np.isfinite(true)
    step = 254.0 / 320.0  # grey values a millimetre
    values = grey_errors(found, true, mask).values
    g = 128.0 + step * np.array([0.0, 0.0, -40.0, 40.0, 0.0])
    e = step * np.array([0.0, 16.0, 0.0, -32.0, 0.0])
    assert values["mae"] == pytest.approx(step * 48.0 / 5.0)
    assert values["rmse"] == pytest.approx(math.sqrt((e**2).mean()))
    assert values["l2"] == pytest.approx(96.0 * values["rmse"])
    assert values["abs_rel"] == pytest.approx((np.abs(e) / g).mean())
    assert values["sq_rel"] == pytest.approx((e**2 / g).mean())
    assert values["delta_1/4"] == pytest.approx(3 / 5) and values["delta_1"] == 1.0
    assert grey_errors(2.0 * true, true, mask).values["mae"] > 100.0
    assert grey_errors(2.0 * true, true, mask, "median").values["mae"] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="mask is empty"):
        grey_errors(found, true, np.zeros_like(mask))
