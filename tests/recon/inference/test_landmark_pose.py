"""The rotation of a head in closed form from its points."""

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.detection.dense_landmarks import DenseLandmarks
from recon.inference.landmark_pose import LandmarkPose
from recon.rotation import euler_to_matrix, rotation_angle, turn_to_ray

SETS = ("520", "478")


def seen(model, vertices, rotation, translation_mm):
    """What a faultless network says: pixels, and depth along the ray at the scale of the head."""
    camera = PerspectiveCamera.at(rotation, translation_mm, size=(480, 640))
    points = torch.cat([model.landmarks(vertices, name) for name in SETS], dim=1)
    v_cam = camera.to_camera(points)
    ray = turn_to_ray(translation_mm)
    px_per_mm = camera.focal_px[0, 0] / -translation_mm[0, 2]
    depth_px = px_per_mm * (-(v_cam @ ray)[0, :, 2] - translation_mm.norm())
    marks = torch.cat((camera.to_pixels(v_cam)[0], depth_px[:, None]), dim=1).double().numpy()
    ones = np.ones(len(marks))
    return DenseLandmarks(marks, ones, ones, ones, (("520", 520), ("478", 478)))


@pytest.mark.parametrize("angles_deg", [(0.0, 0.0, 0.0), (15.0, -35.0, 10.0), (-20.0, 70.0, -30.0)], ids=repr)
@pytest.mark.parametrize("place_mm", [(0.0, 0.0, -2500.0), (300.0, -200.0, -1500.0)], ids=repr)
def test_the_mean_head_is_found_however_it_is_turned_and_wherever_it_is(open_model, angles_deg, place_mm):
    against_ray = euler_to_matrix(torch.deg2rad(torch.tensor([angles_deg])))
    translation_mm = torch.tensor([place_mm])
    rotation = turn_to_ray(translation_mm) @ against_ray
    found = LandmarkPose(open_model, SETS)(seen(open_model, open_model.shape(), rotation, translation_mm))
    # Weak perspective is not how the head is seen: a degree at this distance.
    assert float(torch.rad2deg(rotation_angle(torch.from_numpy(found).float()[None], against_ray))) < 1.0


def test_an_open_mouth_and_raised_brows_do_not_turn_the_head(open_model):
    acting = torch.zeros(1, open_model.n_expression)
    for name in ("jawOpen", "browInnerUp", "mouthSmileLeft", "mouthSmileRight"):
        acting[0, open_model.expression_names.index(name)] = 0.8
    rotation = euler_to_matrix(torch.tensor([[0.1, 0.4, -0.1]]))
    marks = seen(open_model, open_model.shape(None, acting), rotation, torch.tensor([[0.0, 0.0, -2500.0]]))
    found = LandmarkPose(open_model, SETS)(marks)
    assert float(torch.rad2deg(rotation_angle(torch.from_numpy(found).float()[None], rotation))) < 3.0


def test_landmarks_of_other_sets_are_refused(open_model):
    ones = np.ones(68)
    with pytest.raises(ValueError, match="sets 520, 478 expected, got 68"):
        LandmarkPose(open_model, SETS)(DenseLandmarks(np.ones((68, 3)), ones, ones, ones, (("68", 68),)))
