"""Mirroring, cropping and position maps keep labels true."""

import pytest
import torch

from recon.render import Mesh, render
from recon.synthesis.camera.augment import Mirror, cropped, position_map
from recon.texturing.uv_map import UvMap


@pytest.fixture(scope="module")
def mirror(head_model):
    return Mirror(head_model)


@pytest.fixture(scope="module")
def few(clean):
    return clean.batch([2, 5])


def test_mirroring_twice_changes_nothing(mirror, few, head_model):
    again = mirror(mirror(few))
    gap = head_model.shape(again.identity) - head_model.shape(few.identity)
    assert gap.norm(dim=-1).square().mean().sqrt() < 0.5
    for name, tensor in again.tensors().items():
        before = getattr(few, name)
        if name not in ("identity", "albedo"):
            assert torch.allclose(tensor.float(), before.float(), atol=1e-3), name


def test_a_mirrored_sample_is_the_picture_of_its_labels(mirror, few, head_model):
    other = mirror(few)
    mesh = Mesh.of(
        head_model.shape(other.identity, other.expression), head_model.faces, head_model.albedo(other.albedo)
    )
    rendered = render(mesh, other.camera, other.lighting, other.size, torch.full((2, 3, 1, 1), 0.21404114))
    both = other.mask & rendered.covered
    assert (other.mask ^ rendered.covered).float().mean() < 0.01
    assert (rendered.depth_mm - other.depth_mm)[both].abs().median() < 0.2
    marks = head_model.landmarks68(other.camera.to_camera(head_model.shape(other.identity, other.expression)))
    assert (marks - other.landmarks68_cam).norm(dim=-1).median() < 0.5
    pixels = other.camera.to_pixels(other.landmarks68_cam)
    assert torch.allclose(pixels, other.landmarks68_px, atol=1e-2)
    yaw, _, roll = (other.angles_rad + few.angles_rad * torch.tensor([1.0, -1.0, 1.0])).unbind(1)
    assert torch.cat((yaw, roll)).abs().max() < 1e-4
    assert mirror.residual_mm < 0.35


def test_crops_move_points_and_intrinsics(few):
    part = cropped(few, 21, 8, (64, 96))
    assert part.size == (64, 96)
    assert torch.equal(part.image, few.image[:, :, 8:72, 21:117])
    assert torch.allclose(part.camera.to_pixels(part.landmarks478_cam), part.landmarks478_px, atol=1e-2)
    outside = (part.landmarks68_px < 0).any(dim=-1)
    assert not (part.landmarks68_visible & outside).any()
    with pytest.raises(ValueError, match="reaches beyond pictures"):
        cropped(few, 100, 0, (64, 96))


def test_position_maps_hold_the_surface(few, head_model):
    texels = UvMap.of(head_model, 64)
    positions, triangles = position_map(few, head_model, texels)
    assert positions.shape == (2, 3, 64, 64)
    v_cam = few.camera.to_camera(head_model.shape(few.identity, few.expression))
    seen = triangles >= 0
    corners = v_cam[1][head_model.faces[triangles[seen]]]
    inside = positions[1][:, seen].T
    assert (inside >= corners.amin(dim=1) - 1e-2).all()
    assert (inside <= corners.amax(dim=1) + 1e-2).all()
