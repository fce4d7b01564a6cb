"""The coefficient head and feature aggregation by themselves."""

import dataclasses
import json
import math

import pytest
import torch
from network_parts import BLOCKS, SIZE, intrinsics

from recon.lighting import irradiance
from recon.networks.fam import AggregationPyramid, FeatureAggregation
from recon.networks.head import CoefficientHead, FaceBlocks
from recon.rotation import matrix_to_euler, sixd_to_matrix, turn_to_ray


def head_with(width=6, **options):
    torch.manual_seed(0)
    return CoefficientHead(width, BLOCKS, SIZE, **options)


def test_it_starts_at_the_mean_face_frontal_and_centred():
    found = head_with()(torch.randn(2, 6), intrinsics())
    assert float(found.identity.detach().abs().max()) < 0.02
    assert float(found.albedo.detach().abs().max()) < 0.02
    assert 0.03 < float(found.expression.detach().mean()) < 0.07
    camera = found.camera(intrinsics())
    pivot = torch.tensor(BLOCKS.pivot_mm).expand(2, 1, 3)
    at = camera.to_pixels(camera.to_camera(pivot)).detach()
    torch.testing.assert_close(at, torch.full((2, 1, 2), SIZE / 2), atol=0.5, rtol=0.0)
    # 1.02 px a mm at 224 px, whatever the focal length
    side = camera.to_pixels(camera.to_camera(pivot + torch.tensor([1.0, 0.0, 0.0]))).detach() - at
    torch.testing.assert_close(side.norm(dim=-1), torch.full((2, 1), 1.02 * SIZE / 224), rtol=0.02, atol=0.0)


def test_frontal_means_facing_the_camera_wherever_the_head_is():
    off_axis = intrinsics()
    off_axis[:, 0, 2] += 3 * SIZE  # a crop from the left of a wide photo
    found = head_with()(torch.zeros(2, 6), off_axis)
    facing = found.rotation[:, :, 2]
    towards = torch.nn.functional.normalize(
        -(found.translation_mm + found.rotation @ torch.tensor(BLOCKS.pivot_mm)), dim=-1
    )
    torch.testing.assert_close(facing, towards, atol=1e-5, rtol=0.0)
    yaw = torch.rad2deg(matrix_to_euler(found.rotation)[:, 1])
    assert float(yaw.detach().abs().min()) > 10.0, "seen from the camera's axis it is turned"


def test_turn_to_ray_is_the_smallest_rotation():
    points = torch.tensor([[100.0, 200.0, -900.0], [0.0, 0.0, -5.0], [-300.0, 20.0, -500.0]], dtype=torch.float64)
    turn = turn_to_ray(points)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(3, dtype=torch.float64))
    rays = torch.nn.functional.normalize(points, dim=-1)
    torch.testing.assert_close(turn @ torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64), rays)
    cosine = 0.5 * (turn.diagonal(dim1=1, dim2=2).sum(-1) - 1.0)
    torch.testing.assert_close(cosine, -rays[:, 2])
    assert torch.autograd.gradcheck(turn_to_ray, (points.requires_grad_(),))


def test_focal_length_changes_distance_only():
    head = head_with()
    torch.nn.init.normal_(head.linear.weight, std=0.1)
    features = torch.randn(2, 6)
    near = intrinsics()
    far = near.clone()
    far[:, :2, :2] *= 3.0
    points = 10.0 * torch.randn(2, 7, 3)
    for matrix in (near, far):
        found = head(features, matrix)
        camera = found.camera(matrix)
        seen = camera.to_pixels(camera.to_camera(torch.tensor(BLOCKS.pivot_mm).expand(2, 1, 3))).detach()
        if matrix is near:
            first, distance = seen, found.translation_mm[:, 2]
        else:
            torch.testing.assert_close(seen, first, rtol=1e-4, atol=1e-3)
            assert bool((found.translation_mm[:, 2] < 2.5 * distance).all())
    assert points.shape == (2, 7, 3)


def test_expression_is_bounded_only_where_the_prior_is():
    for prior, most in (("unit", 1.0), ("normal", math.inf)):
        head = CoefficientHead(6, dataclasses.replace(BLOCKS, expression_prior=prior), SIZE)
        torch.nn.init.normal_(head.linear.weight, std=5.0)
        expression = head(torch.randn(2, 6), intrinsics()).expression
        inside = bool(((expression >= 0.0) & (expression <= 1.0)).all())
        assert inside == (most == 1.0)


def test_the_first_light_comes_from_the_front_and_is_white():
    light = head_with().start_lighting
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    front, back = irradiance(normals, light) / math.pi
    assert bool((front > back + 0.2).all())
    assert 0.6 < float(front.mean()) < 1.3
    torch.testing.assert_close(front, front.mean().expand(3))


def test_blocks_of_a_model(open_model):
    blocks = FaceBlocks.of(open_model)
    assert (blocks.model, blocks.n_identity, blocks.n_expression, blocks.n_albedo) == ("open", 80, 52, 80)
    again = FaceBlocks.of_dict(json.loads(json.dumps(blocks.to_dict())))
    assert again == blocks and again.sketch == blocks.sketch is not None
    x, y, z = blocks.pivot_mm
    assert abs(x) < 1.0 and -45.0 < y < -20.0 and -20.0 < z < 10.0


def test_aggregation_has_the_equations_of_the_paper():
    torch.manual_seed(0)
    block = FeatureAggregation(8, 4, norm=False)
    coarse, fine = torch.randn(2, 8, 3, 2), torch.randn(2, 4, 6, 4)
    a = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    b = block.fine_linear(block.fine_conv(fine))
    mid = torch.cat((a, b, a * b), dim=1)  # 6D = 3 x 2D
    wanted = block.mid_linear(block.mid_conv(mid))
    torch.testing.assert_close(block(coarse, fine), wanted)
    assert block(coarse, fine).shape == fine.shape


def test_the_norm_of_the_aggregation_takes_out_the_size_of_its_input():
    torch.manual_seed(0)
    coarse, fine = torch.randn(2, 8, 3, 2), torch.randn(2, 4, 6, 4)
    with_norm, plain = (FeatureAggregation(8, 4, norm=norm).requires_grad_(False) for norm in (True, False))
    grown = [
        float(block(100.0 * coarse, 100.0 * fine).std() / block(coarse, fine).std()) for block in (with_norm, plain)
    ]
    assert grown[0] < 5.0 and grown[1] > 1000.0


def test_every_stage_reaches_the_last_map():
    torch.manual_seed(0)
    pyramid = AggregationPyramid((32, 16, 8, 4))
    maps = [torch.randn(2, c, s, s + 1, requires_grad=True) for c, s in ((32, 2), (16, 4), (8, 8), (4, 16))]
    refined = pyramid(maps)
    assert [m.shape for m in refined] == [m.shape for m in maps]
    refined[-1].square().sum().backward()
    assert all(float(m.grad.abs().sum()) > 0.0 for m in maps)


def test_narrow_aggregation_has_fewer_parameters():
    count = [sum(p.numel() for p in FeatureAggregation(64, 32, hidden).parameters()) for hidden in (None, 16)]
    assert count[1] < count[0]


@pytest.mark.parametrize("scale", [1e4])
def test_a_wild_prediction_stays_finite(scale):
    head = head_with()
    torch.nn.init.normal_(head.linear.weight, std=scale)
    found = head(torch.randn(2, 6), intrinsics())
    assert all(bool(torch.isfinite(t).all()) for t in found.tensors().values())
    assert bool((found.translation_mm[:, 2] < 0.0).all())


def test_distance_follows_from_the_mean_of_both_focal_lengths():
    matrix = intrinsics()
    matrix[:, 0, 0], matrix[:, 1, 1] = 200.0, 400.0
    found = head_with()(torch.zeros(2, 6), matrix)
    camera = found.camera(matrix)
    pivot_cam = camera.to_camera(torch.tensor(BLOCKS.pivot_mm).expand(2, 1, 3))
    assert -float(pivot_cam[0, 0, 2].detach()) == pytest.approx(300.0 / (1.02 * SIZE / 224.0), rel=0.02)


def test_white_light_is_nine_outputs_and_the_same_in_all_channels():
    coloured, white = head_with(), head_with(white_light=True)
    assert coloured.linear.out_features - white.linear.out_features == 27 - 9
    torch.nn.init.normal_(white.linear.weight, std=1.0)
    torch.nn.init.normal_(coloured.linear.weight, std=1.0)
    features = torch.randn(2, 6)
    lighting = white(features, intrinsics()).lighting
    assert lighting.shape == (2, 9, 3)
    assert torch.equal(lighting, lighting[..., :1].expand(2, 9, 3))
    assert float((lighting - white.start_lighting).detach().abs().min(dim=2).values.max()) > 0.1, "it is predicted"
    found = coloured(features, intrinsics()).lighting.detach()
    assert float((found - found.mean(dim=2, keepdim=True)).abs().max()) > 0.1


def test_under_weak_perspective_the_outputs_are_the_terms_of_the_paper():
    """rho and t2d (of the pivot) follow from three outputs alone, and the rotation is against the axis."""
    head = head_with(camera_model="weak_perspective")
    torch.nn.init.normal_(head.linear.weight, std=0.2)
    features = torch.randn(2, 6)
    matrix = intrinsics()
    matrix[:, 1, 1] = matrix[:, 0, 0]
    found = head(features, matrix)
    assert found.camera_model == "weak_perspective"
    camera = found.camera(matrix)
    raw = head.linear(features)
    place, sixd = raw[:, 12 + 6 : 12 + 9], raw[:, 12 : 12 + 6]
    scale = 1.02 * SIZE / 224.0 * place[:, 2].exp()
    torch.testing.assert_close(camera.scale_px_per_mm, scale[:, None].expand(2, 2))
    pivot = torch.tensor(BLOCKS.pivot_mm).expand(2, 1, 3)
    at = camera.to_pixels(camera.to_camera(pivot))[:, 0]
    torch.testing.assert_close(at, 0.5 * SIZE * (1.0 + place[:, :2]), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.rotation, sixd_to_matrix(head.sixd_start + sixd))


def test_a_weak_perspective_head_does_not_change_its_picture_with_the_focal_length():
    head = head_with(camera_model="weak_perspective")
    torch.nn.init.normal_(head.linear.weight, std=0.2)
    features, points = torch.randn(2, 6), 50.0 * torch.randn(2, 7, 3)
    near = intrinsics()
    far = near.clone()
    far[:, :2, :2] *= 3.0
    far[:, :2, 2] += 40.0
    pixels = []
    for matrix in (near, far):
        camera = head(features, matrix).camera(matrix)
        pixels.append(camera.to_pixels(camera.to_camera(points)).detach())
    torch.testing.assert_close(pixels[0], pixels[1], rtol=1e-3, atol=2e-3)
