"""Parameters of faces and the camera model that their pose belongs to."""

import dataclasses
import math

import pytest
import torch

from recon.camera import PerspectiveCamera, WeakPerspectiveCamera
from recon.lighting import ambient, irradiance, lamps_to_sh
from recon.parameters import TENSORS, FaceParameters
from recon.rotation import euler_to_matrix

INTRINSICS = torch.tensor([[[900.0, 0.0, 120.0], [0.0, 900.0, 100.0], [0.0, 0.0, 1.0]]]).double()


@pytest.fixture
def face():
    """A head far off the axis, lit from its left."""
    lamp = lamps_to_sh(torch.tensor([[[-1.0, 0.2, 0.4]]]), torch.ones(1, 1, 3)).double()
    return FaceParameters(
        torch.zeros(1, 3).double(),
        torch.zeros(1, 2).double(),
        torch.zeros(1, 4).double(),
        euler_to_matrix(torch.tensor([[0.1, 0.3, 0.05]]).double()),
        torch.tensor([[300.0, -200.0, -800.0]]).double(),
        ambient(torch.ones(1, 3).double()) + lamp,
    )


def test_the_camera_is_that_of_the_model(face):
    assert isinstance(face.camera(INTRINSICS), PerspectiveCamera)
    weak = dataclasses.replace(face, camera_model="weak_perspective")
    assert isinstance(weak.camera(INTRINSICS), WeakPerspectiveCamera)
    for changed in (weak.detach(), weak.to(torch.float32), weak.select(slice(0, 1))):
        assert changed.camera_model == "weak_perspective"


def test_tensors_are_the_fields_that_hold_some(face):
    assert tuple(face.tensors()) == TENSORS == (
        "identity", "expression", "albedo", "rotation", "translation_mm", "lighting"
    )  # fmt: skip


def test_another_camera_shows_a_small_head_alike(face):
    """Of a head that is small against its distance both cameras show the same, to the first order."""
    weak = face.for_camera("weak_perspective")
    points = 2.0 * torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(0)).double()
    pixels = [f.camera(INTRINSICS).to_pixels(f.camera(INTRINSICS).to_camera(points)) for f in (face, weak)]
    origin = face.camera(INTRINSICS).to_pixels(face.translation_mm[:, None])
    extent_px = float((pixels[0] - origin).norm(dim=-1).max())
    unturned = dataclasses.replace(face, camera_model="weak_perspective")
    wrong = unturned.camera(INTRINSICS).to_pixels(unturned.camera(INTRINSICS).to_camera(points))
    # A picture off the axis is stretched by one over the cosine of the ray.
    assert float((pixels[0] - pixels[1]).norm(dim=-1).max()) < 0.15 * extent_px
    assert float((pixels[0] - wrong).norm(dim=-1).max()) > 0.3 * extent_px


def test_light_turns_with_the_head(face):
    weak = face.for_camera("weak_perspective")
    normals_obj = torch.nn.functional.normalize(
        torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(1)).double(), dim=-1
    )
    shading = [irradiance(normals_obj @ f.rotation.mT, f.known_lighting) / math.pi for f in (face, weak)]
    torch.testing.assert_close(shading[0], shading[1])


def test_there_and_back_is_the_same(face):
    again = face.for_camera("weak_perspective").for_camera("perspective")
    assert again.camera_model == "perspective" and face.for_camera("perspective") is face
    for name, tensor in face.tensors().items():
        torch.testing.assert_close(again.tensors()[name], tensor)
