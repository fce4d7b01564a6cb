"""Errors by hand."""

import pytest
import torch

from recon.rotation import euler_to_matrix
from recon.training.metrics import depth_error_mm, geodesic_error_deg, landmark_error_percent, pose_error_deg
from recon.training.validation import ErrorMeans


def test_landmark_error_is_in_percent_of_the_true_box():
    target = torch.tensor([[[0.0, 0.0], [40.0, 10.0], [20.0, 5.0]]])
    found = target + torch.tensor([3.0, 4.0])
    assert float(landmark_error_percent(found, target)) == pytest.approx(100 * 5.0 / 20.0)


def test_pose_errors():
    first = euler_to_matrix(torch.tensor([[0.1, 0.2, 3.1]]))
    second = euler_to_matrix(torch.tensor([[0.2, 0.2, -3.1]]))  # roll wraps around
    gap = (0.1 + 2 * torch.pi - 6.2) / 3
    assert float(pose_error_deg(first, second)) == pytest.approx(float(torch.rad2deg(torch.tensor(gap))), rel=1e-3)
    turned = euler_to_matrix(torch.tensor([[0.0, 0.3, 0.0]])) @ first
    assert float(geodesic_error_deg(turned, first)) == pytest.approx(17.19, abs=0.01)


def test_depth_error_with_and_without_distance():
    target = torch.full((2, 1, 3, 4), 900.0)
    found = target + 30.0
    found[:, :, 0, 0] += 12.0
    mask = torch.ones(2, 1, 3, 4, dtype=torch.bool)
    mask[1] = False
    whole, relief = depth_error_mm(found, target, mask)
    assert float(whole[0]) == pytest.approx(31.0) and float(relief[0]) == pytest.approx(1.0)
    assert bool(whole[1].isnan()) and bool(relief[1].isnan())
    summary = ErrorMeans()
    summary.add({"depth": whole})
    summary.add({"depth": torch.tensor([29.0])})
    assert float(summary.means()["depth"]) == pytest.approx(30.0), "pictures that show nothing do not count"
