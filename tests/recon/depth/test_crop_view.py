"""Crops as cameras of their own."""

import math

import torch

from recon.camera import PerspectiveCamera
from recon.depth.crop_view import CropView

SIZE = 24


def _views(dtype=torch.float64) -> CropView:
    intrinsics = torch.tensor(
        [[[900.0, 0, 310], [0, 880, 250], [0, 0, 1]], [[500.0, 0, 100], [0, 500, 400], [0, 0, 1]]], dtype=dtype
    )
    middle = torch.tensor([[120.0, 400.0], [330.0, 90.0]], dtype=dtype)
    return CropView.towards(
        intrinsics, middle, torch.tensor([150.0, 90.0], dtype=dtype), torch.tensor([0.3, -1.1], dtype=dtype)
    )


def _camera(view: CropView, turned: bool) -> PerspectiveCamera:
    """The picture's camera, or the crop's for crops of one unit a side with the middle at the origin."""
    zero = torch.zeros(2, 3, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    if turned:
        return PerspectiveCamera(view.turn, zero, view.focal_sides[:, None].expand(-1, 2), zero[:, :2])
    return PerspectiveCamera(eye, zero, view.focal_px, view.principal_px)


def test_a_point_lies_where_both_cameras_see_it():
    view = _views()
    pixels = view.places(SIZE).flatten(1, 2)
    depth = 400.0 + 300.0 * torch.rand(2, SIZE * SIZE, dtype=torch.float64)
    points = _camera(view, False).unproject(pixels, depth)
    seen = _camera(view, True)
    in_crop = seen.to_camera(points)
    share = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE - 0.5
    y, x = torch.meshgrid(share, share, indexing="ij")
    expected = torch.stack((x, y), dim=-1).view(1, -1, 2).expand(2, -1, -1)
    torch.testing.assert_close(seen.to_pixels(in_crop), expected)
    torch.testing.assert_close(view.depth_ratio(SIZE).flatten(1), -in_crop[..., 2] / depth)
    places, ratio = view.seen_from(pixels)
    torch.testing.assert_close(places, expected)
    torch.testing.assert_close(ratio, -in_crop[..., 2] / depth)


def test_the_middle_of_the_crop_is_seen_along_its_axis_at_the_asked_size():
    view = _views()
    middle = torch.tensor([[120.0, 400.0], [330.0, 90.0]], dtype=torch.float64)
    places, _ = view.seen_from(middle[:, None])
    torch.testing.assert_close(places, torch.zeros_like(places), atol=1e-12, rtol=0.0)
    near, _ = view.seen_from(
        torch.stack((middle + torch.tensor([1e-4, 0.0]), middle + torch.tensor([0.0, 1e-4]), middle), dim=1)
    )
    linear = (near[:, :2] - near[:, 2:]) / 1e-4
    area = (linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]).sqrt()
    torch.testing.assert_close(1.0 / area, torch.tensor([150.0, 90.0], dtype=torch.float64), rtol=1e-4, atol=0.0)


def test_a_crop_on_the_axis_is_a_similarity_turned_clockwise():
    intrinsics = torch.tensor([[[700.0, 0, 60], [0, 700, 50], [0, 0, 1]]], dtype=torch.float64)
    view = CropView.towards(
        intrinsics,
        torch.tensor([[60.0, 50.0]], dtype=torch.float64),
        torch.tensor([80.0], dtype=torch.float64),
        torch.tensor([0.5 * math.pi], dtype=torch.float64),
    )
    right, _ = view.seen_from(torch.tensor([[[80.0, 50.0]]], dtype=torch.float64))
    torch.testing.assert_close(right[0, 0], torch.tensor([0.0, 0.25], dtype=torch.float64), atol=1e-12, rtol=0.0)


def test_normals_go_there_and_back_with_the_camera():
    view = _views()
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 4, 5, dtype=torch.float64), dim=1)
    there = view.normals(normals)
    torch.testing.assert_close(view.photo_normals(there), normals)
    axis = view.photo_normals(torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1).expand(2, 3, 1, 1))
    points = _camera(view, False).unproject(
        torch.tensor([[[120.0, 400.0]], [[330.0, 90.0]]], dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    )
    torch.testing.assert_close(axis[..., 0, 0], torch.nn.functional.normalize(points[:, 0], dim=-1))


def test_pictures_are_read_where_the_crop_looks():
    view = _views(torch.float32)
    y, x = torch.meshgrid(torch.arange(480.0) + 0.5, torch.arange(640.0) + 0.5, indexing="ij")
    pictures = torch.stack((x, y)).expand(2, 2, 480, 640)
    crops = view.crops(pictures, SIZE)
    inside = view.places(SIZE).permute(0, 3, 1, 2)
    low, high = torch.tensor([0.5, 0.5]).view(1, 2, 1, 1), torch.tensor([639.5, 479.5]).view(1, 2, 1, 1)
    torch.testing.assert_close(crops, inside.clamp(low, high), atol=2e-2, rtol=0.0)
