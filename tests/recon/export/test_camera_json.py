"""Cameras through face.json and back."""

import dataclasses
import json

import pytest
import torch

from recon.camera import CAMERAS, CameraError, WeakPerspectiveCamera
from recon.export import read_camera, write_face_json
from recon.export.camera_json import camera_numbers, camera_of_numbers
from recon.rotation import euler_to_matrix

FIELDS = ("rotation", "translation_mm", "focal_px", "principal_px")


def camera_of(kind):
    return kind(
        euler_to_matrix(torch.tensor([[0.1, -0.4, 0.2]])),
        torch.tensor([[12.0, -7.5, -910.0]]),
        torch.tensor([[1234.5, 1234.5]]),
        torch.tensor([[256.0, 240.0]]),
    )


@pytest.mark.parametrize("name", CAMERAS)
def test_a_file_keeps_the_camera(tmp_path, name):
    camera = camera_of(CAMERAS[name])
    path = write_face_json(tmp_path / "face.json", {"camera": camera_numbers(camera)})
    assert json.loads(path.read_text())["camera"]["model"] == name
    again = read_camera(path)
    assert type(again) is CAMERAS[name]
    for field in FIELDS:
        torch.testing.assert_close(getattr(again, field), getattr(camera, field))


def test_weak_perspective_is_written_by_the_terms_of_the_paper_too():
    camera = camera_of(WeakPerspectiveCamera)
    numbers = camera_numbers(camera)
    points = torch.tensor([[10.0, -20.0, 30.0]])
    seen = points @ camera.rotation[0].T
    by_hand = numbers["scale_px_per_mm"] * seen[0, :2].numpy() * [1.0, -1.0] + numbers["offset_px"]
    pixels = camera.to_pixels(camera.to_camera(points[None]))[0, 0]
    torch.testing.assert_close(torch.as_tensor(by_hand, dtype=torch.float32), pixels)


def test_files_from_before_there_was_a_choice_are_perspective():
    numbers = camera_numbers(camera_of(CAMERAS["perspective"]))
    del numbers["model"]
    assert type(camera_of_numbers(numbers)) is CAMERAS["perspective"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "fisheye"}, "perspective or weak_perspective, got 'fisheye'"),
        ({"rotation": None}, "rotation is missing or no numbers"),
        ({"focal_px": [1.0]}, r"focal_px of a camera must be \(2,\) finite numbers, got \(1,\)"),
        ({"translation_mm": [0.0, 0.0, 5.0], "model": "weak_perspective"}, "must be positive"),
    ],
)
def test_numbers_that_are_no_camera_are_refused(change, message):
    with pytest.raises(CameraError, match=message):
        camera_of_numbers(camera_numbers(camera_of(CAMERAS["perspective"])) | change)


@pytest.mark.parametrize("text", ["not json", "[]", '{"camera": 3}'])
def test_files_that_are_no_face_json_are_refused(tmp_path, text):
    path = tmp_path / "face.json"
    path.write_text(text)
    with pytest.raises(CameraError, match=r"face\.json is no face\.json"):
        read_camera(path)


def test_a_camera_may_carry_gradients():
    camera = dataclasses.replace(camera_of(WeakPerspectiveCamera), focal_px=torch.ones(1, 2, requires_grad=True))
    assert camera_numbers(camera)["focal_px"].tolist() == [1.0, 1.0]
