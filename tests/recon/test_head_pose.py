"""The two poses of a head: against the camera's axis and against the ray to the head."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera, WeakPerspectiveCamera
from recon.detection.face import Face
from recon.io.image import Photo
from recon.lighting import ambient
from recon.reconstruction import FitReport, HeadPose, Reconstruction
from recon.rotation import euler_to_matrix


def head_at(make_tiny, camera_class, rotation, translation_mm):
    model = MorphableModel(make_tiny())
    return Reconstruction(
        model,
        Photo(np.zeros((24, 20, 3), np.uint8), 30.0),
        Face(np.array([0.0, 0.0, 20.0, 24.0]), np.arange(10.0).reshape(5, 2), 1.0, "known"),
        torch.zeros(1, model.n_identity),
        torch.zeros(1, model.n_expression),
        torch.zeros(1, model.n_albedo),
        ambient(torch.ones(1, 3)),
        camera_class.at(rotation, torch.tensor([translation_mm]), size=(24, 20)),
        FitReport(0.0, 0.0, ()),
    )


def test_a_head_beside_the_axis_that_faces_the_camera_is_frontal_against_its_ray(make_tiny):
    """At 30 degrees to the right of the axis it faces the camera when it is turned 30 degrees to the left."""
    turned = euler_to_matrix(torch.tensor([[0.0, -math.radians(30.0), 0.0]]))
    place = (1000.0 * math.sin(math.radians(30.0)), 0.0, -1000.0 * math.cos(math.radians(30.0)))
    head = head_at(make_tiny, PerspectiveCamera, turned, place)
    assert head.pose.yaw == pytest.approx(-30.0, abs=1e-3)
    assert dataclasses.astuple(head.pose_ray) == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    assert head.to_dict()["pose_ray"] == dataclasses.asdict(head.pose_ray)


def test_below_the_axis_a_head_that_looks_up_faces_the_camera(make_tiny):
    looks_up = euler_to_matrix(torch.tensor([[-math.radians(20.0), 0.0, 0.0]]))
    place = (0.0, -700.0 * math.sin(math.radians(20.0)), -700.0 * math.cos(math.radians(20.0)))
    head = head_at(make_tiny, PerspectiveCamera, looks_up, place)
    assert head.pose.pitch == pytest.approx(-20.0, abs=1e-3)
    assert dataclasses.astuple(head.pose_ray) == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)


@pytest.mark.parametrize(
    ("camera_class", "place"),
    [(PerspectiveCamera, (0.0, 0.0, -800.0)), (WeakPerspectiveCamera, (300.0, -100.0, -800.0))],
    ids=["on the axis", "weak perspective"],
)
def test_both_poses_agree_where_the_ray_is_the_axis(make_tiny, camera_class, place):
    rotation = euler_to_matrix(torch.tensor([[0.2, -0.5, 0.1]]))
    head = head_at(make_tiny, camera_class, rotation, place)
    assert dataclasses.astuple(head.pose) == pytest.approx(dataclasses.astuple(head.pose_ray), abs=1e-4)
    assert head.pose == HeadPose.of(rotation[0])


def test_the_fit_report_can_still_be_read_by_its_old_name(make_tiny):
    head = head_at(make_tiny, PerspectiveCamera, torch.eye(3)[None], (0.0, 0.0, -800.0))
    with pytest.warns(DeprecationWarning, match="quality is now fit_report"):
        assert head.quality is head.fit_report
