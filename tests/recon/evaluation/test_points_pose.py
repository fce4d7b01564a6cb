"""Poses from 68 points alone, and the layouts of pictures that have those points or our own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from recon.datasets import Points68Reader
from recon.datasets.pose_conventions import angles_to_matrix
from recon.evaluation.aflw2000 import LabelError
from recon.evaluation.metrics.pose import geodesic_deg
from recon.evaluation.points_pose import PointsPose
from recon.evaluation.pose_labels import find_poses

_TRUE = [(0.0, 0.0, 0.0), (40.0, -15.0, 10.0), (-75.0, 20.0, -30.0), (10.0, 35.0, 100.0)]


def _seen(points_mm, angles, px_per_mm=0.8, place_px=(130.0, 90.0)):
    turned = points_mm @ angles_to_matrix(np.array(angles)).T
    return np.array(place_px) + px_per_mm * turned[:, :2] * [1.0, -1.0]


@pytest.mark.parametrize("angles", _TRUE)
def test_the_mean_head_is_found_however_it_is_turned(open_model, angles):
    pose_of = PointsPose(open_model)
    points = open_model.landmarks68(open_model.shape())[0].double().numpy()
    seen = _seen(points, angles)
    assert geodesic_deg(pose_of(seen), angles_to_matrix(np.array(angles))) < 0.05
    # The jaw's contour slides, and a mouth that opens moves its points: neither turns the head.
    seen[:17] += 9.0
    assert geodesic_deg(pose_of(seen), angles_to_matrix(np.array(angles))) < 0.05
    seen[36] += [6.0, -4.0]  # a slip of one corner of an eye costs little
    assert geodesic_deg(pose_of(seen), angles_to_matrix(np.array(angles))) < 3.0


def test_other_peoples_heads_are_off_by_little(open_model):
    """And acting turns nothing much: what is left is the shape."""
    generator = torch.Generator().manual_seed(0)
    pose_of, errors = PointsPose(open_model), []
    assert 15 < pose_of.n_points < 51
    for angles in _TRUE[:3] * 4:
        identity = torch.randn(1, open_model.n_identity, generator=generator)
        expression = 0.5 * torch.rand(1, open_model.n_expression, generator=generator)
        with torch.no_grad():
            points = open_model.landmarks68(open_model.shape(identity, expression))[0].double().numpy()
        errors.append(geodesic_deg(pose_of(_seen(points, angles)), angles_to_matrix(np.array(angles))))
    assert np.median(errors) < 6.0
    with pytest.raises(ValueError, match="68 points in one spot"):
        pose_of(np.ones((68, 2)))


def test_a_table_of_points_is_a_layout(open_model, tmp_path):
    points = open_model.landmarks68(open_model.shape())[0].double().numpy()
    lines = [",".join(["file", *(f"{axis}{k}" for k in range(68) for axis in "xy")])]
    for name in ("p007_0.jpg", "p008_1.jpg"):
        Image.new("RGB", (260, 180)).save(tmp_path / name)
        lines.append(",".join([name, *(f"{value:.4f}" for value in _seen(points, _TRUE[1]).ravel())]))
    lines += ["short.jpg,1,2", "../out.jpg," + ",".join(["1"] * 136), "nan.jpg," + ",".join(["nan"] * 136)]
    lines += ["spot.jpg," + ",".join(["7"] * 136)]
    (tmp_path / "points68.csv").write_text("\n".join(lines) + "\n")
    labels, left = find_poses(tmp_path, "points68")
    assert [(label.name, label.group) for label in labels] == [("p007_0.jpg", "p007"), ("p008_1.jpg", "p008")]
    np.testing.assert_allclose(labels[0].angles_deg, _TRUE[1], atol=0.05)
    np.testing.assert_array_equal(labels[0].rotation_ray, labels[0].rotation)
    assert labels[0].box[0] < labels[0].box[2]
    reasons = {entry.name: entry.reason for entry in left}
    assert "no 68 finite points" in reasons["short.jpg"] and "no 68 finite points" in reasons["nan.jpg"]
    assert "outside of the folder" in reasons["../out.jpg"] and "in one spot" in reasons["spot.jpg"]
    assert Points68Reader(tmp_path)[0].landmarks68_px.shape == (68, 2)
    (tmp_path / "points68.csv").write_text("name,x\n")
    with pytest.raises(LabelError, match=r"should begin with the columns file,x0"):
        find_poses(tmp_path, "points68")
    with pytest.raises(LabelError, match=r"holds no points68\.csv"):
        find_poses(tmp_path.parent, "points68")


def test_our_own_pictures_are_a_layout(open_model, tmp_path):
    from recon.synthesis import FaceSampler, SynthesisConfig
    from recon.synthesis.output.layouts import encode

    sampler = FaceSampler(open_model, SynthesisConfig.clean(yaw_deg=60.0), 3, (48, 64))
    with torch.no_grad():
        faces = sampler.batch([0, 1])
    for sample in encode("folder", faces, None, [0, 1]):
        for name, content in sample.files.items():
            (tmp_path / name).write_bytes(content)
    labels, left = find_poses(tmp_path, "synthetic")
    assert len(labels) == 2 and not left
    for k, label in enumerate(labels):
        np.testing.assert_allclose(label.rotation, faces.rotation[k].double().numpy(), atol=1e-6)
        np.testing.assert_allclose(label.translation_mm, faces.translation_mm[k].double().numpy(), rtol=1e-5)
        assert label.photo.is_file() and label.label_file.is_file()
