import math

import pytest
import torch
from render_scenes import SIZE, albedo_of, bumpy_head, camera_of, lights, two_heads

from recon.camera import PerspectiveCamera, WeakPerspectiveCamera
from recon.lighting import ambient, lamps_to_sh, rotate_lighting
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, matrix_to_sixd, rotation_angle, sixd_to_matrix

MAPS = ("image", "mask", "depth_mm", "normals", "position", "triangle_ids", "albedo")


def rendered(dtype=torch.float32, **options):
    v_obj, faces = two_heads(dtype)
    mesh = Mesh.of(v_obj, faces, albedo_of(v_obj))
    return render(mesh, camera_of(dtype=dtype), lights(dtype), SIZE, **options)


def test_shapes_and_background():
    result = rendered()
    for name, channels in (("image", 3), ("mask", 1), ("depth_mm", 1), ("normals", 3), ("position", 3), ("albedo", 3)):
        values = getattr(result, name)
        assert values.shape == (2, channels, *SIZE) and torch.isfinite(values).all()
        if name not in ("image", "mask"):
            assert (values[(~result.covered).expand_as(values)] == 0).all()
    assert result.triangle_ids.dtype == torch.int32 and result.triangle_ids.shape == (2, *SIZE)


def test_maps_agree_with_each_other():
    result = rendered(torch.float64)
    where = result.covered[:, 0]
    normals = result.normals.permute(0, 2, 3, 1)[where]
    position = result.position.permute(0, 2, 3, 1)[where]
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)).double())
    torch.testing.assert_close(result.depth_mm[:, 0][where], -position[:, 2])
    assert (result.depth_mm[:, 0][where] > 700).all()
    # what is seen of a closed surface faces the camera, up to interpolation at the rim
    towards_camera = (normals * -position).sum(1)
    assert (towards_camera > 0).double().mean() > 0.98


def test_depth_is_that_of_the_triangle_hit():
    v_obj, faces = two_heads(torch.float64)
    camera = camera_of(dtype=torch.float64)
    result = render(Mesh.of(v_obj, faces), camera, lights(torch.float64), SIZE)
    v_cam = camera.to_camera(v_obj)
    b, row, col = (int(x) for x in torch.nonzero(result.triangle_ids >= 0)[200])
    corners = v_cam[b, faces[result.triangle_ids[b, row, col]]]
    normal = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
    pixel = torch.tensor([[[col + 0.5, row + 0.5]]], dtype=torch.float64).expand(2, 1, 2)
    ray = camera.unproject(pixel, torch.ones(2, 1, dtype=torch.float64))[b, 0]
    hit = ray * (normal @ corners[0]) / (normal @ ray)
    torch.testing.assert_close(result.position[b, :, row, col], hit)


def test_ambient_light_shows_the_albedo():
    v_obj, faces = two_heads()
    result = render(Mesh.of(v_obj, faces, albedo_of(v_obj)), camera_of(), ambient(torch.ones(1, 3)), SIZE, reach=None)
    torch.testing.assert_close(result.image, result.albedo, rtol=1e-5, atol=1e-5)


def test_background_shows_around_the_mesh_and_blends_at_the_silhouette():
    plain, backdrop = rendered(), torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    result = rendered(background=backdrop)
    empty = (plain.mask == 0).expand(-1, 3, -1, -1)
    assert torch.equal(result.image[empty], backdrop[empty])
    grey = rendered(background=torch.full((1, 3, 1, 1), 0.25))
    # coverage weighs the background, so blending black and grey differs by the uncovered share
    torch.testing.assert_close(grey.image, plain.image + 0.25 * (1 - plain.mask), rtol=0, atol=1e-5)


def test_batch_equals_singles():
    v_obj, faces = two_heads()
    whole = render(Mesh.of(v_obj, faces, albedo_of(v_obj)), camera_of(), lights(), SIZE)
    cameras = camera_of()
    for i in range(2):
        one = slice(i, i + 1)
        camera = cameras.with_pose(cameras.rotation[one], cameras.translation_mm[one])
        single = render(Mesh.of(v_obj[one], faces, albedo_of(v_obj[one])), camera, lights()[one], SIZE)
        for name in MAPS:
            torch.testing.assert_close(getattr(single, name)[0], getattr(whole, name)[i], rtol=1e-5, atol=1e-5)


def test_inputs_are_untouched():
    v_obj, faces = two_heads()
    camera, light, albedo, backdrop = camera_of(), lights(), albedo_of(v_obj), torch.rand(2, 3, *SIZE)
    inputs = (v_obj, faces, albedo, light, backdrop, camera.rotation, camera.translation_mm, camera.focal_px)
    before = [x.clone() for x in inputs]
    result = render(Mesh.of(v_obj, faces, albedo), camera, light, SIZE, backdrop)
    for name in MAPS:
        getattr(result, name)
    assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))


def test_permuted_faces_give_the_same_picture():
    v_obj, faces = two_heads()
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    first = render(Mesh.of(v_obj, faces, albedo_of(v_obj)), camera_of(), lights(), SIZE)
    second = render(Mesh.of(v_obj, faces[order].roll(1, dims=1), albedo_of(v_obj)), camera_of(), lights(), SIZE)
    for name in ("image", "mask", "depth_mm", "normals"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-4)
    assert torch.equal(
        order[second.triangle_ids[second.triangle_ids >= 0].long()], first.triangle_ids[first.triangle_ids >= 0].long()
    )


def test_back_ends_render_the_same_picture():
    numba, plain = rendered(backend="numba"), rendered(backend="torch")
    for name in MAPS:
        assert torch.equal(getattr(numba, name), getattr(plain, name))


def test_turning_head_and_light_together_turns_the_normals_and_keeps_the_colours():
    v_obj, faces = bumpy_head(40, 30, torch.float64)
    sphere = 90 * v_obj / v_obj.norm(dim=1, keepdim=True)
    turn = euler_to_matrix(torch.tensor([[0.0, 0.0, math.pi / 2]], dtype=torch.float64))
    camera = PerspectiveCamera.at(torch.eye(3, dtype=torch.float64)[None], size=(50, 50))
    light = lights(torch.float64, batch=1)
    upright = render(Mesh.of(sphere[None], faces), camera, light, (50, 50))
    turned = render(Mesh.of(sphere[None] @ turn[0].T, faces), camera, rotate_lighting(light, turn), (50, 50))
    # a quarter turn counter-clockwise of the picture
    torch.testing.assert_close(torch.rot90(upright.image, 1, (2, 3)), turned.image, rtol=0, atol=1e-6)


def test_weak_perspective_draws_through_the_same_door():
    v_obj, faces = two_heads()
    scale = torch.tensor([0.15, 0.18])
    camera = WeakPerspectiveCamera.of_scale(camera_of().rotation, scale, torch.tensor([[30.0, 22.0]]))
    result = render(Mesh.of(v_obj, faces, albedo_of(v_obj)), camera, lights(), SIZE)
    box = camera.to_pixels(camera.to_camera(v_obj))
    for b in range(2):
        rows, columns = torch.nonzero(result.mask[b, 0] > 0.5, as_tuple=True)
        for pixels, axis in ((columns, 0), (rows, 1)):
            inside = box[b, :, axis].clamp(0, (SIZE[1], SIZE[0])[axis])
            assert abs(pixels.min() - inside.min()) < 1.5 and abs(pixels.max() + 1 - inside.max()) < 1.5


def test_weak_perspective_draws_what_perspective_draws_from_very_far():
    """Colours, depth order and maps: a perspective camera at a kilometre differs by less than rounding."""
    v_obj, faces = two_heads(torch.float64)
    pose = camera_of(dtype=torch.float64)
    place = torch.tensor([[4.0, -3.0, -1e6]], dtype=torch.float64)
    focal, ends = torch.full((1, 2), 0.15e6, dtype=torch.float64), (1e6 - 500.0, 1e6 + 500.0)
    near, far = (
        render(
            Mesh.of(v_obj, faces, albedo_of(v_obj)),
            kind(pose.rotation, place, focal, pose.principal_px, *ends),
            lights(torch.float64),
            SIZE,
        )
        for kind in (PerspectiveCamera, WeakPerspectiveCamera)
    )
    assert float((near.triangle_ids == far.triangle_ids).double().mean()) > 0.999
    both = near.triangle_ids == far.triangle_ids
    assert int((both & (far.triangle_ids >= 0)).sum()) > 100
    torch.testing.assert_close(near.image, far.image, rtol=0.0, atol=0.02)
    assert float((near.depth_mm - far.depth_mm)[both[:, None]].abs().max()) < 0.05


def test_gradients_reach_everything():
    v_obj, faces = two_heads(torch.float64)
    albedo, light = albedo_of(v_obj).requires_grad_(), lights(torch.float64).requires_grad_()
    backdrop = torch.rand(2, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    camera = camera_of(dtype=torch.float64)
    leaves = [camera.rotation, camera.translation_mm, camera.focal_px, camera.principal_px]
    leaves = [x.clone().requires_grad_() for x in leaves] + [v_obj.requires_grad_(), albedo, light, backdrop]
    result = render(Mesh.of(v_obj, faces, albedo), PerspectiveCamera(*leaves[:4]), light, SIZE, backdrop)
    total = sum(getattr(result, name).square().mean() for name in MAPS if name != "triangle_ids")
    for leaf, gradient in zip(leaves, torch.autograd.grad(total, leaves), strict=True):
        assert gradient.shape == leaf.shape and torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_hard_silhouettes_still_have_gradients_inside():
    v_obj, faces = two_heads(torch.float64)
    light = lights(torch.float64).requires_grad_()
    result = render(Mesh.of(v_obj, faces), camera_of(dtype=torch.float64), light, SIZE, reach=None)
    assert set(result.mask.unique().tolist()) == {0.0, 1.0}
    assert torch.autograd.grad(result.image.sum(), light)[0].abs().sum() > 0


def test_autocast_does_not_change_the_picture():
    want = rendered()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = rendered()
    assert got.image.dtype == torch.float32
    torch.testing.assert_close(got.image, want.image, rtol=0, atol=1e-2)


def test_a_data_loader_worker_can_render():
    import multiprocessing

    rendered()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        image = pool.apply(_render_in_worker)
    assert image == pytest.approx(float(rendered().image.sum()), rel=1e-5)


def _render_in_worker():
    torch.set_num_threads(1)
    return float(rendered().image.sum())


class Fitted:
    """A head with albedo and light, and what is to be found again from its picture."""

    def __init__(self, size=(96, 96)):
        self.size = size
        v_obj, faces = bumpy_head(60, 40)
        self.mesh = Mesh.of(v_obj[None], Topology.of(faces, len(v_obj)), albedo_of(v_obj)[None])
        self.rotation = euler_to_matrix(torch.tensor([[0.1, 0.25, -0.05]]))
        self.translation = torch.tensor([[4.0, -3.0, -1000.0]])
        lamp = lamps_to_sh(torch.tensor([[[0.6, 0.5, 1.0]]]), torch.tensor([[[1.4, 1.2, 1.0]]]))
        self.lighting = ambient(torch.full((1, 3), 0.5)) + lamp
        self.focal = torch.full((1, 2), 3.6 * size[0])
        with torch.no_grad():
            self.target = self.picture(self.rotation, self.translation, self.lighting)

    def picture(self, rotation, translation, lighting):
        camera = PerspectiveCamera.at(rotation, translation, size=self.size, focal_px=self.focal)
        return render(self.mesh, camera, lighting, self.size).image

    def loss(self, *parameters):
        return (self.picture(*parameters) - self.target).square().mean()


def test_pose_is_recovered_from_the_picture_alone():
    scene = Fitted()
    ten_degrees = euler_to_matrix(torch.deg2rad(torch.tensor([[6.0, -6.0, 5.3]])))
    start = ten_degrees @ scene.rotation
    assert torch.rad2deg(rotation_angle(start, scene.rotation)) > 9.5
    sixd = matrix_to_sixd(start).requires_grad_()
    offset = torch.tensor([[5.8, -5.8, 5.8]])  # 10 mm
    moved = (offset / 100).requires_grad_()
    optimizer = torch.optim.Adam([sixd, moved], lr=0.012)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 160, 1e-4)
    for _ in range(160):
        optimizer.zero_grad()
        scene.loss(sixd_to_matrix(sixd), scene.translation + 100 * moved, scene.lighting).backward()
        optimizer.step()
        schedule.step()
    angle = torch.rad2deg(rotation_angle(sixd_to_matrix(sixd.detach()), scene.rotation)).item()
    distance = (100 * moved.detach()).norm().item()
    assert angle < 0.5, f"{angle} degrees off"
    assert distance < 1.0, f"{distance} mm off"


def test_lighting_is_recovered_from_the_picture_alone():
    scene = Fitted((64, 64))
    lighting = ambient(torch.full((1, 3), 0.3)).requires_grad_()
    optimizer = torch.optim.LBFGS([lighting], max_iter=80, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure():
        optimizer.zero_grad()
        loss = scene.loss(scene.rotation, scene.translation, lighting)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    error = (lighting.detach() - scene.lighting).norm() / scene.lighting.norm()
    assert error < 0.02, f"{100 * error:.2f} % off"
