import pytest
import torch
from render_scenes import SIZE, camera_of, two_heads

from recon.render import interpolate, rasterize
from recon.render.interpolate import (
    barycentrics_at,
    barycentrics_reference,
    interpolate_at,
    interpolate_packed,
    interpolate_reference,
)


def raster_of(dtype, requires_grad=False):
    v_obj, faces = two_heads(dtype)
    camera = camera_of(dtype=dtype)
    v_clip = camera.to_clip(camera.to_camera(v_obj), SIZE).requires_grad_(requires_grad)
    return v_clip, rasterize(v_clip, faces, SIZE)


def random(*shape, dtype, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float64: {"rtol": 1e-9, "atol": 1e-9}}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_interpolation_equals_its_twin(dtype, threads):
    _, raster = raster_of(dtype)
    flat = random(raster.screen.shape[0] * raster.screen.shape[1], 5, dtype=dtype).requires_grad_()
    weights = raster.barycentrics_packed.detach().requires_grad_()
    cotangent = random(len(weights), 5, dtype=dtype, seed=1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        fast = interpolate_at(flat, weights, raster)
        fast_grads = torch.autograd.grad(fast, (flat, weights), cotangent)
    finally:
        torch.set_num_threads(before)
    slow = interpolate_reference(flat, weights, raster.corner_index)
    slow_grads = torch.autograd.grad(slow, (flat, weights), cotangent)
    for got, want in zip((fast, *fast_grads), (slow, *slow_grads), strict=True):
        torch.testing.assert_close(got, want, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_barycentrics_equal_their_twin(dtype):
    _, raster = raster_of(dtype)
    screen = raster.screen.detach().requires_grad_()
    cotangent = random(len(raster.pixel_index), 3, dtype=dtype)
    fast = barycentrics_at(screen, raster.corner_index, raster.pixel_index, raster.starts, SIZE)
    slow = barycentrics_reference(screen, raster.corner_index, raster.pixel_index, SIZE)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)
    fast_grad = torch.autograd.grad(fast, screen, cotangent)[0]
    slow_grad = torch.autograd.grad(slow, screen, cotangent)[0]
    # slivers at the silhouette divide rounding by their area, so the comparison is in norm
    limit = 1e-3 if dtype == torch.float32 else 1e-9
    assert (fast_grad - slow_grad).norm() <= limit * slow_grad.norm()


def test_attributes_linear_on_the_surface_come_out_linear():
    v_obj, faces = two_heads(torch.float64)
    camera = camera_of(dtype=torch.float64)
    v_cam = camera.to_camera(v_obj)
    raster = rasterize(camera.to_clip(v_cam, SIZE), faces, SIZE)
    position = interpolate_packed(v_cam, raster)
    # perspective-correct: the interpolated point projects to the pixel centre
    pictures = raster.pixel_index.div(SIZE[0] * SIZE[1], rounding_mode="floor")
    for b in range(2):
        index = raster.pixel_index[pictures == b] % (SIZE[0] * SIZE[1])
        centres = torch.stack((index % SIZE[1] + 0.5, index.div(SIZE[1], rounding_mode="floor") + 0.5), dim=-1)
        v_px = camera.to_pixels(position[pictures == b].expand(2, -1, -1))[b]
        torch.testing.assert_close(v_px, centres.double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("width", [1, 3, 17])
def test_any_width_and_a_shared_batch(width):
    _, raster = raster_of(torch.float32)
    shared = random(1, raster.screen.shape[1], width, dtype=torch.float32)
    one, two = interpolate(shared, raster), interpolate(shared.expand(2, -1, -1), raster)
    assert one.shape == (2, *SIZE, width)
    assert torch.equal(one, two)
    assert (one[raster.triangle_ids < 0] == 0).all()


def test_each_picture_uses_its_own_mesh():
    _, raster = raster_of(torch.float32)
    attributes = torch.tensor([1.0, 2.0])[:, None, None].expand(2, raster.screen.shape[1], 1)
    out = interpolate(attributes, raster)[..., 0]
    for b in range(2):
        torch.testing.assert_close(
            out[b][raster.triangle_ids[b] >= 0], torch.tensor(b + 1.0).expand(raster.starts[b + 1] - raster.starts[b])
        )


def test_gradients_reach_attributes_and_vertices():
    v_clip, raster = raster_of(torch.float64)
    faces = two_heads(torch.float64)[1]
    size = (6, 7)
    keep = v_clip.detach().requires_grad_()
    attributes = random(2, v_clip.shape[1], 2, dtype=torch.float64).requires_grad_()

    def run(v, a):
        return interpolate(a, rasterize(v, faces, size))

    assert (rasterize(keep, faces, size).triangle_ids >= 0).any()
    assert torch.autograd.gradcheck(run, (keep, attributes), fast_mode=True)


def test_attributes_of_another_mesh_are_refused(as_users_call_it):
    _, raster = raster_of(torch.float32)
    with pytest.raises(ValueError, match=r"attributes must be \(2 or 1, 282, C\).*got \(2, 7, 3\)"):
        interpolate(torch.zeros(2, 7, 3), raster)
