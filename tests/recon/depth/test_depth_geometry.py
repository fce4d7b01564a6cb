"""Points and normals of depth maps."""

import torch

from recon.camera import PerspectiveCamera
from recon.depth.geometry import depth_points, point_normals


def _camera() -> PerspectiveCamera:
    return PerspectiveCamera.at(
        size=(20, 30),
        focal_px=torch.tensor([[60.0, 60.0], [45.0, 45.0]]),
        principal_px=torch.tensor([[12.0, 8.0], [15.0, 11.0]]),
    )


def test_points_project_onto_the_middles_of_their_pixels():
    depth_mm = 300.0 + 200.0 * torch.rand(2, 1, 20, 30)
    points = depth_points(depth_mm, _camera())
    torch.testing.assert_close(-points[:, 2:], depth_mm)
    pixels = _camera().to_pixels(points.flatten(2).transpose(1, 2))
    y, x = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    torch.testing.assert_close(
        pixels, torch.stack((x, y), dim=-1).view(1, -1, 2).expand(2, -1, -1), atol=1e-3, rtol=0.0
    )


def test_normals_of_planes_are_theirs_towards_the_camera():
    camera = _camera()
    normals = torch.nn.functional.normalize(torch.tensor([[0.3, -0.2, 0.9], [-0.5, 0.4, 0.7]]), dim=1)
    rays = depth_points(torch.ones(2, 1, 20, 30), camera)
    # n (t ray) = n (0, 0, -400)
    depth_mm = -400.0 * normals[:, 2].view(2, 1, 1, 1) / torch.einsum("bi,bihw->bhw", normals, rays)[:, None]
    found, inside = point_normals(depth_points(depth_mm, camera), torch.ones(2, 1, 20, 30, dtype=torch.bool))
    expected = normals[:, :, None, None].expand(-1, -1, 18, 28)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected, atol=1e-3, rtol=0.0)
    assert inside.sum() == 2 * 18 * 28 and not found[:, :, 0].any()


def test_beside_a_hole_no_normal_is_known():
    known = torch.ones(2, 1, 20, 30, dtype=torch.bool)
    known[0, 0, 9, 13] = False
    found, inside = point_normals(depth_points(torch.full((2, 1, 20, 30), 500.0), _camera()), known)
    lost = torch.nonzero(~inside[0, 0, 1:-1, 1:-1]) + 1
    assert {(int(r), int(c)) for r, c in lost} == {(9, 13), (8, 13), (10, 13), (9, 12), (9, 14)}
    assert not found[0, :, 9, 12].any()
