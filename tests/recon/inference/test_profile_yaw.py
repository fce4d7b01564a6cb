"""What a missing mesh says about a head's yaw."""

import math

import pytest
import torch

from recon.inference.profile_yaw import likely_yaw_deg, turn_to_profile
from recon.rotation import euler_to_matrix, rotation_angle, turn_to_ray

PIVOT_MM = torch.tensor([0.0, -33.0, -7.0])


def azimuth_deg(rotation, translation_mm):
    pivot_cam = rotation @ PIVOT_MM + translation_mm
    seen = (turn_to_ray(pivot_cam).transpose(1, 2) @ rotation)[0]
    return math.degrees(math.atan2(float(seen[0, 2]), float(seen[2, 2])))


@pytest.mark.parametrize("network_deg", [50.0, 65.0, 80.0])
def test_the_product_of_two_beliefs_lies_between_them_nearer_to_the_narrower(network_deg):
    found = likely_yaw_deg(network_deg)
    assert network_deg < found < 82.0
    assert 82.0 - found < found - network_deg


def test_beliefs_far_apart_leave_the_network_alone():
    assert likely_yaw_deg(20.0) == 20.0


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_head_turns_about_its_own_axis_where_it_is(sign):
    rotation = euler_to_matrix(torch.tensor([[0.2, sign * math.radians(60.0), 0.1]]))
    translation_mm = torch.tensor([[150.0, -60.0, -900.0]])
    turned, moved_mm = turn_to_profile(rotation, translation_mm, PIVOT_MM)
    torch.testing.assert_close(turned @ PIVOT_MM + moved_mm, rotation @ PIVOT_MM + translation_mm, atol=1e-3, rtol=0)
    torch.testing.assert_close(turned[:, :, 1], rotation[:, :, 1], atol=1e-6, rtol=0)
    before, after = azimuth_deg(rotation, translation_mm), azimuth_deg(turned, moved_mm)
    assert after == pytest.approx(math.copysign(likely_yaw_deg(abs(before)), before), abs=2.0), (
        "about the own axis, not the upright one"
    )
    angle_deg = math.degrees(float(rotation_angle(rotation, turned)[0]))
    assert angle_deg == pytest.approx(abs(after - before), rel=0.1) and angle_deg > 5.0
