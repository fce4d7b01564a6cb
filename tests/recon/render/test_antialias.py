import importlib

import pytest
import torch
from render_scenes import SIZE, bumpy_head, camera_of, clip_square, two_heads

from recon.camera import PerspectiveCamera
from recon.render import RenderInputError, Topology, antialias, rasterize
from recon.render import silhouettes as slow
from recon.render.kernels import silhouettes as fast
from recon.render.screen import screen_to_pixels
from recon.rotation import euler_to_matrix

find_crossings = importlib.import_module("recon.render.antialias").find_crossings


def scene(dtype=torch.float32, size=SIZE):
    v_obj, faces = two_heads(dtype)
    camera = camera_of(size, dtype)
    raster = rasterize(camera.to_clip(camera.to_camera(v_obj), size), faces, size)
    return raster, Topology.of(faces, v_obj.shape[1])


def mask_of(v_clip, topology, size, reach=32):
    raster = rasterize(v_clip, topology.faces, size)
    hard = (raster.triangle_ids >= 0)[..., None].to(v_clip.dtype)
    return antialias(hard, raster, topology, reach=reach)[..., 0]


def square_mask(x0, y0, x1, y1, size=(12, 16)):
    v_clip, faces = clip_square(x0, y0, x1, y1, size)
    return mask_of(v_clip, Topology.of(faces, 4), size)[0]


def rows_of(crossings):
    columns = (crossings.near, crossings.far, crossings.start, crossings.end)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("reach", [0, 1, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [SIZE, (1, 40), (40, 1), (20, 200)])
def test_compiled_search_for_crossings_equals_its_twin(reach, dtype, size):
    raster, topology = scene(dtype, size)
    pixels, w = screen_to_pixels(raster.screen), raster.screen[..., 3]
    args = (raster.triangle_ids, raster.depth_hard, pixels, w, topology, reach)
    want = rows_of(slow.find_crossings(*args))
    assert rows_of(fast.find_crossings(*args)) == want
    if min(size) > 1 and reach:
        assert len(want) > 5


@pytest.mark.parametrize("threads", [1, 3])
def test_thread_count_does_not_change_the_crossings(threads):
    raster, topology = scene()
    args = (raster.triangle_ids, raster.depth_hard, screen_to_pixels(raster.screen), raster.screen[..., 3], topology, 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        got = rows_of(fast.find_crossings(*args))
    finally:
        torch.set_num_threads(before)
    assert got == rows_of(slow.find_crossings(*args))


@pytest.mark.parametrize("x0", [3.5, 3.6, 3.9, 4.0, 4.2, 4.4])
def test_a_square_covers_its_pixels_in_proportion(x0):
    mask = square_mask(x0, 2.0, 9.7, 8.0)
    # rows whose middle lies well inside: the left and the right pixel hold what the square covers of them
    torch.testing.assert_close(mask[3:7].sum(1), torch.full((4,), 9.7 - x0, dtype=torch.float64), rtol=0, atol=1e-9)
    assert ((mask >= 0) & (mask <= 1)).all()
    torch.testing.assert_close(mask[5, 9].item(), 0.7, rtol=0, atol=1e-9)


def test_colours_blend_by_the_covered_share():
    v_clip, faces = clip_square(3.7, 2.0, 9.0, 8.0, (12, 16))
    topology = Topology.of(faces, 4)
    raster = rasterize(v_clip, faces, (12, 16))
    covered = (raster.triangle_ids >= 0)[..., None]
    front, back = torch.tensor([0.9, 0.2, 0.4]).double(), torch.tensor([0.1, 0.6, 0.0]).double()
    picture = antialias(torch.where(covered, front, back), raster, topology)
    torch.testing.assert_close(picture[0, 5, 3], 0.3 * front + 0.7 * back)
    assert torch.equal(picture[0, 5, 5], front) and torch.equal(picture[0, 5, 1], back)


def test_a_nearer_square_blends_over_a_farther_one_and_not_the_other_way():
    size = (12, 16)
    near, faces = clip_square(4.3, 2.0, 9.0, 8.0, size, z=-0.5)
    far, _ = clip_square(1.0, 1.0, 15.0, 11.0, size, z=0.5)
    v_clip, faces = torch.cat((far, near), dim=1), torch.cat((faces, faces + 4))
    raster = rasterize(v_clip, faces, size)
    marks = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0]).double()  # by id; the last is the background
    picture = antialias(marks[raster.triangle_ids.long()][..., None], raster, Topology.of(faces, 8))
    torch.testing.assert_close(picture[0, 5, 4].item(), 0.7, rtol=0, atol=1e-9)
    torch.testing.assert_close(picture[0, 5, 3].item(), 0.0, rtol=0, atol=1e-9)


def test_the_inside_of_a_smooth_surface_is_left_alone():
    raster, topology = scene()
    picture = torch.rand(2, *SIZE, 3, generator=torch.Generator().manual_seed(0))
    changed = (antialias(picture, raster, topology) != picture).any(-1)
    covered = raster.triangle_ids >= 0
    neighbourhood = torch.nn.functional.max_pool2d((~covered)[:, None].float(), 3, 1, 1)[:, 0] > 0
    inside = changed & covered & ~neighbourhood
    assert changed.sum() > 50
    # only where the surface hides a part of itself, such as at the nose
    assert inside.sum() < 0.1 * changed.sum()


def test_input_is_untouched_and_any_number_of_channels_works():
    raster, topology = scene()
    picture = torch.rand(2, *SIZE, 7)
    before = picture.clone()
    together = antialias(picture, raster, topology)
    assert torch.equal(picture, before)
    for k in (0, 6):
        torch.testing.assert_close(antialias(picture[..., k : k + 1], raster, topology)[..., 0], together[..., k])


def test_gradients_of_colours_and_vertices():
    v_clip, faces = clip_square(2.3, 1.8, 5.6, 4.3, (6, 8))
    turn = torch.tensor([[0.98, 0.2], [-0.2, 0.98]]).double()
    v_clip = torch.cat((v_clip[..., :2] @ turn, v_clip[..., 2:]), dim=-1).requires_grad_()
    topology = Topology.of(faces, 4)
    picture = torch.rand(1, 6, 8, 2, dtype=torch.float64, requires_grad=True)

    def run(v, image):
        return antialias(image, rasterize(v, faces, (6, 8)), topology)

    assert (run(v_clip, picture) != picture).sum() > 10
    assert torch.autograd.gradcheck(run, (v_clip, picture))


def finite_differences(loss, parameters, steps):
    out = torch.zeros_like(parameters)
    with torch.no_grad():
        for i, step in enumerate(steps):
            d = torch.zeros_like(parameters)
            d[i] = step
            out[i] = (loss(parameters + d) - loss(parameters - d)) / (2 * step)
    return out


def blob(size):
    """A soft disc off the centre, for overlap losses."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in size), indexing="ij")
    distance = torch.hypot(x - 0.6 * size[1], y - 0.42 * size[0])
    return torch.sigmoid((0.3 * min(size) - distance) / (0.05 * min(size)))


@pytest.mark.parametrize("shape", ["area", "overlap"])
def test_moving_a_square_has_the_gradient_of_finite_differences(shape):
    size = (30, 40)
    weight = blob(size) if shape == "overlap" else torch.ones(size, dtype=torch.float64)
    corners, faces = clip_square(9.3, 7.2, 28.4, 21.7, size)
    topology = Topology.of(faces, 4)

    def loss(p):  # moved right and up, stretched in x and y
        offset = torch.stack((p[0] / size[1] * 2, p[1] / size[0] * 2))
        v_clip = torch.cat((corners[..., :2] * (1 + p[2:]) + offset, corners[..., 2:]), dim=-1)
        return (mask_of(v_clip, topology, size)[0] * weight).sum()

    parameters = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(loss(parameters), parameters)[0]
    for steps in ([1e-3, 1e-3, 1e-4, 1e-4], [2.0, 2.0, 0.1, 0.1]):  # within a pixel, and over several
        want = finite_differences(loss, parameters.detach(), steps)
        assert (gradient - want).norm() < 0.05 * want.norm()


def head_loss(size, weight, n_around, n_down, reach):
    v_obj, faces = bumpy_head(n_around, n_down, torch.float64)
    topology = Topology.of(faces, len(v_obj))

    def loss(p):  # pitch, yaw, roll in rad; x, y, z in mm
        place = p[None, 3:] + torch.tensor([[0.0, 0, -1000]], dtype=torch.float64)
        focal = torch.full((1, 2), 3.3 * min(size), dtype=torch.float64)
        camera = PerspectiveCamera.at(euler_to_matrix(p[None, :3]), place, size=size, focal_px=focal)
        return (mask_of(camera.to_clip(camera.to_camera(v_obj[None]), size), topology, size, reach)[0] * weight).sum()

    return loss


# the widths of central differences span a pixel or two, because coverage by pixel pairs is only piecewise smooth
HEAD_STEPS = [0.03, 0.03, 0.03, 2.0, 2.0, 10.0]


def relative_error(loss):
    parameters = torch.tensor([0.1, 0.4, 0.05, 3.0, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(loss(parameters), parameters)[0]
    scale = torch.tensor(HEAD_STEPS, dtype=torch.float64)  # so that mm and radians count alike
    want = finite_differences(loss, parameters.detach(), HEAD_STEPS)
    return ((gradient - want) * scale).norm() / (want * scale).norm()


@pytest.mark.parametrize("shape", ["area", "overlap"])
def test_moving_a_head_has_the_gradient_of_finite_differences(shape):
    size = (150, 130)
    weight = blob(size) if shape == "overlap" else torch.ones(size, dtype=torch.float64)
    assert relative_error(head_loss(size, weight, 120, 70, reach=32)) < 0.05


def test_faces_smaller_than_a_pixel_need_the_reach():
    size = (75, 65)
    weight = blob(size)
    # 16 800 faces on a few hundred pixels: without reach nearly every silhouette edge belongs to an unseen face
    assert relative_error(head_loss(size, weight, 120, 70, reach=0)) > 0.5
    assert relative_error(head_loss(size, weight, 120, 70, reach=32)) < 0.1


def test_what_does_not_fit_is_refused(as_users_call_it):
    raster, topology = scene()
    with pytest.raises(RenderInputError, match=r"image must be \(2, 45, 60\) \+ \(C,\)"):
        antialias(torch.zeros(2, 60, 45, 3), raster, topology)
    with pytest.raises(RenderInputError, match="reach must lie between 0 and 64"):
        antialias(torch.zeros(2, *SIZE, 3), raster, topology, reach=-1)
