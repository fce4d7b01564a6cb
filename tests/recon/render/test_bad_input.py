"""What cannot be rendered is refused with the fault, the value and the way out; what is only odd is rendered right."""

import pytest
import torch
from render_scenes import SIZE, albedo_of, camera_of, clip_square, lights, two_heads

from recon.lighting import LightingError
from recon.render import Mesh, RenderInputError, Topology, rasterize, render
from recon.render.checks import MAX_TRIANGLES

pytestmark = pytest.mark.usefixtures("as_users_call_it")
BACKENDS = ["numba", "torch"]


def square(size=(5, 9), dtype=torch.float32):
    return clip_square(1.0, 1.0, 8.0, 4.0, size, dtype=dtype)


@pytest.mark.parametrize(
    ("faces", "text"),
    [
        (torch.tensor([[0, 1, 4]]), r"indices in \[0, 4\), found 0..4"),
        (torch.tensor([[-1, 1, 2]]), r"found -1..2"),
        (torch.tensor([[0, 1, 2, 3]]), r"faces must be \(F, 3\), got \(1, 4\)"),
        (torch.tensor([[[0, 1, 2]]]), r"got \(1, 1, 3\); one topology serves the whole batch"),
        (torch.tensor([[0.0, 1.0, 2.0]]), "whole numbers, got torch.float32"),
    ],
)
def test_faces(faces, text):
    v_clip, _ = square()
    with pytest.raises(RenderInputError, match=text):
        rasterize(v_clip, faces, (5, 9))
    with pytest.raises(RenderInputError, match=text):
        Mesh.of(torch.zeros(1, 4, 3), faces)


def test_more_triangles_than_an_id_can_hold():
    v_clip, _ = square()
    faces = torch.zeros(1, 3, dtype=torch.int64).expand(MAX_TRIANGLES + 1, 3)  # no memory is used
    with pytest.raises(RenderInputError, match="2147483648 triangles, more than an int32 id can hold"):
        rasterize(v_clip, faces, (5, 9))


@pytest.mark.parametrize(
    ("v_clip", "text"),
    [
        (torch.zeros(0, 4, 4), r"empty batch, \(0, 4, 4\)"),
        (torch.zeros(1, 0, 4), "no vertices"),
        (torch.zeros(1, 4, 3), r"v_clip must be \(B, V, 4\), got \(1, 4, 3\)"),
        (torch.zeros(4, 4), r"got \(4, 4\)"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), "floating point, got torch.int64"),
    ],
)
def test_vertices(v_clip, text):
    with pytest.raises(RenderInputError, match=text):
        rasterize(v_clip, torch.tensor([[0, 1, 2]]), (5, 9))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_inf_are_named(value):
    v_clip, faces = square()
    v_clip[0, 2, 1] = value
    with pytest.raises(RenderInputError, match=rf"v_clip\[0, 2, 1\] is {value}; every value must be finite"):
        rasterize(v_clip, faces, (5, 9))
    v_obj, faces = two_heads()
    v_obj[1, 7, 2] = value
    with pytest.raises(RenderInputError, match=r"v_obj\[1, 7, 2\]"):
        Mesh.of(v_obj, faces)
    light = lights()
    light[0, 3, 1] = value
    with pytest.raises(RenderInputError, match=r"lighting\[0, 3, 1\]"):
        render(Mesh.of(two_heads()[0], faces), camera_of(), light, SIZE)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((0, 9), "at least 1 x 1 pixels, got height 0, width 9"),
        ((5, -1), "width -1"),
        ((5.5, 9), "whole pixels"),
        ((5, 9, 3), r"\(height, width\)"),
        ((5, 10**6), "at most 16384"),
    ],
)
def test_size(size, text):
    v_clip, faces = square()
    with pytest.raises(RenderInputError, match=text):
        rasterize(v_clip, faces, size)


def test_back_end():
    v_clip, faces = square()
    with pytest.raises(RenderInputError, match="unknown back end 'vulkan'; there are: auto, numba, torch"):
        rasterize(v_clip, faces, (5, 9), backend="vulkan")
    with pytest.raises(RenderInputError, match="nvdiffrast back end needs CUDA, the vertices are on cpu"):
        rasterize(v_clip, faces, (5, 9), backend="nvdiffrast")


def test_a_back_end_that_is_not_installed_is_named():
    pytest.importorskip("torch")
    try:
        import pytorch3d  # noqa: F401
    except ModuleNotFoundError:
        v_clip, faces = square()
        with pytest.raises(ModuleNotFoundError, match="pytorch3d"):
            rasterize(v_clip, faces, (5, 9), backend="pytorch3d")
    else:
        pytest.skip("pytorch3d is installed")


def test_what_does_not_fit_the_batch():
    v_obj, faces = two_heads()
    mesh = Mesh.of(v_obj.repeat(2, 1, 1)[:3], faces)
    with pytest.raises(RenderInputError, match="camera holds 2 entries for 3 meshes: pass 1 or 3"):
        render(mesh, camera_of(), lights(batch=1), SIZE)
    mesh = Mesh.of(v_obj, faces)
    with pytest.raises(RenderInputError, match="lighting holds 3 entries for 2 meshes"):
        render(mesh, camera_of(), lights(batch=1).expand(3, -1, -1), SIZE)
    with pytest.raises(LightingError, match=r"lighting must be \(..., 9, 3\).*got \(2, 3, 9\)"):
        render(mesh, camera_of(), lights().transpose(1, 2), SIZE)
    with pytest.raises(RenderInputError, match=r"background must expand to \(2, 3, 45, 60\).*got \(2, 3, 60, 45\)"):
        render(mesh, camera_of(), lights(), SIZE, torch.zeros(2, 3, 60, 45))
    with pytest.raises(RenderInputError, match=r"albedo must be .*got \(2, 3, 282\)"):
        Mesh.of(v_obj, faces, albedo_of(v_obj).transpose(1, 2))
    with pytest.raises(RenderInputError, match="topology was made for 300 vertices, v_obj has 282"):
        Mesh.of(v_obj, Topology.of(faces, 300))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_faces_and_nothing_in_view_give_an_empty_picture(backend):
    v_obj, faces = two_heads()
    away = camera_of().with_pose(camera_of().rotation, torch.tensor([[0.0, 0.0, 1000.0]]))  # behind the camera
    backdrop = torch.full((1, 3, 1, 1), 0.25)
    for mesh, camera in ((Mesh.of(v_obj, faces[:0]), camera_of()), (Mesh.of(v_obj, faces), away)):
        result = render(mesh, camera, lights(), SIZE, backdrop, backend=backend)
        assert (result.triangle_ids == -1).all() and (result.mask == 0).all() and (result.depth_mm == 0).all()
        assert (result.image == 0.25).all()


def test_an_empty_picture_has_zero_gradients():
    v_obj, faces = two_heads()
    light, v_obj = lights().requires_grad_(), v_obj.requires_grad_()
    away = camera_of().with_pose(camera_of().rotation, torch.tensor([[0.0, 0.0, 1000.0]]))
    result = render(Mesh.of(v_obj, faces), away, light, SIZE)
    (result.image.sum() + result.depth_mm.sum()).backward()
    assert (v_obj.grad == 0).all() and (light.grad == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_partly_behind_the_camera_is_finite_forward_and_backward(backend):
    v_obj, faces = two_heads()
    v_obj = v_obj.requires_grad_()
    inside = camera_of().with_pose(camera_of().rotation, torch.tensor([[5.0, 3.0, -20.0]]))  # camera in the head
    result = render(Mesh.of(v_obj, faces, albedo_of(v_obj.detach())), inside, lights(), SIZE, backend=backend)
    assert (result.triangle_ids >= 0).any()
    assert torch.isfinite(result.image).all() and (result.depth_mm[result.covered] >= 50 - 1e-2).all()
    (result.image.square().sum() + result.depth_mm.sum()).backward()
    assert torch.isfinite(v_obj.grad).all()


def test_a_vertex_in_the_camera_itself():
    v_obj, faces = two_heads()
    camera = camera_of()
    v_cam = camera.to_camera(v_obj).clone()
    v_cam[:, 0] = 0.0
    v_clip = camera.to_clip(v_cam, SIZE).requires_grad_()
    raster = rasterize(v_clip, faces, SIZE)
    assert torch.isfinite(raster.barycentrics).all()
    raster.depth.sum().backward()
    assert torch.isfinite(v_clip.grad).all()


def test_degenerate_and_duplicate_triangles_change_nothing():
    v_obj, faces = two_heads()
    # across the list: faces without area, and every face again in another rotation
    messy = torch.cat((faces, torch.tensor([[0, 0, 1], [5, 5, 5]]), faces.roll(1, dims=1)))
    clean, dirty = (render(Mesh.of(v_obj, f, albedo_of(v_obj)), camera_of(), lights(), SIZE) for f in (faces, messy))
    torch.testing.assert_close(dirty.image, clean.image, rtol=0, atol=1e-4)
    torch.testing.assert_close(dirty.mask, clean.mask, rtol=0, atol=1e-5)


def test_slivers_have_finite_gradients():
    v_obj = torch.tensor([[[-50.0, -40.0, 0.0], [50.0, 40.0, 0.0], [1e-5, 0.0, 0.0], [-50.0, 40.0, 0.0]]])
    v_obj.requires_grad_()
    mesh = Mesh.of(v_obj, torch.tensor([[0, 2, 1], [0, 1, 2], [0, 1, 3]]))
    result = render(mesh, camera_of(batch=1), lights(batch=1), SIZE)
    result.image.sum().backward()
    assert torch.isfinite(v_obj.grad).all()


def test_non_contiguous_tensors():
    v_obj, faces = two_heads()
    strided = torch.stack((v_obj, v_obj), dim=-1)[..., 0]
    wide = torch.cat((faces, faces), dim=1)[:, :3]
    assert not strided.is_contiguous() and not wide.is_contiguous()
    got = render(Mesh.of(strided, wide, albedo_of(strided)), camera_of(), lights(), SIZE)
    want = render(Mesh.of(v_obj, faces, albedo_of(v_obj)), camera_of(), lights(), SIZE)
    torch.testing.assert_close(got.image, want.image)
    v_clip = camera_of().to_clip(camera_of().to_camera(v_obj), SIZE)
    turned = v_clip.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(rasterize(turned, wide, SIZE).triangle_ids, rasterize(v_clip, faces, SIZE).triangle_ids)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    v_obj, faces = two_heads()
    halved = v_obj.to(dtype).requires_grad_()
    result = render(Mesh.of(halved, faces, albedo_of(v_obj).to(dtype)), camera_of(), lights().to(dtype), SIZE)
    assert result.image.dtype == torch.float32
    want = render(Mesh.of(halved.detach().float(), faces, albedo_of(v_obj)), camera_of(), lights(), SIZE)
    torch.testing.assert_close(result.depth_mm, want.depth_mm)
    torch.testing.assert_close(result.image, want.image, rtol=0, atol=0.03)
    result.image.sum().backward()
    assert halved.grad.dtype == dtype and torch.isfinite(halved.grad).all()


@pytest.mark.parametrize("faces_dtype", [torch.int32, torch.int16, torch.uint8])
def test_faces_of_other_whole_numbers(faces_dtype):
    v_clip, faces = square()
    got = rasterize(v_clip, faces.to(faces_dtype), (5, 9))
    assert torch.equal(got.triangle_ids, rasterize(v_clip, faces, (5, 9)).triangle_ids)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_pixel(backend):
    v_obj, faces = two_heads()
    result = render(Mesh.of(v_obj, faces), camera_of((1, 1), off_centre=False), lights(), (1, 1), backend=backend)
    assert result.image.shape == (2, 3, 1, 1)
    assert (result.triangle_ids >= 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_large_picture(backend):
    v_clip, faces = clip_square(1000.0, 500.0, 3000.0, 2500.0, (4096, 4096), dtype=torch.float32)
    raster = rasterize(v_clip, faces, (4096, 4096), backend=backend)
    assert (raster.triangle_ids >= 0).sum() == 2000 * 2000
    assert raster.triangle_ids[0, 500, 1000] >= 0 and raster.triangle_ids[0, 499, 1000] == -1
    torch.testing.assert_close(raster.barycentrics_packed.sum(1), torch.ones(2000 * 2000), rtol=0, atol=1e-5)


def test_a_large_picture_of_a_head():
    v_obj, faces = two_heads()
    result = render(
        Mesh.of(v_obj[:1], faces), camera_of((4096, 4096), batch=1, off_centre=False), lights(batch=1), (4096, 4096)
    )
    assert 0.02 < result.mask.mean() < 0.9 and torch.isfinite(result.image).all()
