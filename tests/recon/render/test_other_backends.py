"""Parity with nvdiffrast on CUDA and with PyTorch3D; both are optional."""

import pytest
import torch
from render_scenes import bumpy_head, camera_of, lights, painted, two_heads

from recon.render import Mesh, Topology, antialias, interpolate, rasterize, render
from recon.render.backends.nvdiffrast_search import screen_to_flipped_clip
from recon.render.backends.pytorch3d_search import screen_to_pytorch3d
from recon.render.screen import clip_to_screen

SIZE = (96, 128)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def head_clip(device, n_around=60, n_down=40):
    v_obj, faces = bumpy_head(n_around, n_down)
    v_obj = torch.stack((v_obj, v_obj * torch.tensor([1.1, 0.8, 0.9])))
    camera = camera_of(SIZE)
    return camera.to_clip(camera.to_camera(v_obj), SIZE).to(device), faces.to(device)


def test_coordinates_for_nvdiffrast_have_their_bottom_row_on_top():
    v_clip = torch.tensor([[[0.25, 1.0, 0.5, 1.0], [-0.5, -0.25, 0.1, 2.0]]])
    flipped = screen_to_flipped_clip(clip_to_screen(v_clip, SIZE), SIZE)
    torch.testing.assert_close(flipped, v_clip * torch.tensor([1.0, -1.0, 1.0, 1.0]))


def test_coordinates_for_pytorch3d():
    # top-left corner, bottom-right corner and middle of a wide picture: +x left, +y up, the shorter side is 2 long
    v_clip = torch.tensor([[[-1.0, 1.0, -1.0, 1.0], [2.0, -2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 1.0]]])
    got = screen_to_pytorch3d(clip_to_screen(v_clip, (50, 100)), (50, 100))
    torch.testing.assert_close(got, torch.tensor([[[2.0, 1.0, 1.0], [-2.0, -1.0, 2.0], [0.0, 0.0, 1.5]]]))


def test_pytorch3d_sees_the_same_triangles():
    pytest.importorskip("pytorch3d", reason="pytorch3d is not installed")
    v_clip, faces = head_clip("cpu")
    ours = rasterize(v_clip, faces, SIZE).triangle_ids
    theirs = rasterize(v_clip, faces, SIZE, backend="pytorch3d").triangle_ids
    assert (ours == theirs).double().mean() > 0.999


@pytest.mark.cuda
@needs_cuda
def test_torch_on_cuda_equals_the_cpu():
    v_obj, faces = two_heads()
    mesh = Mesh.of(v_obj, faces, painted(v_obj))
    want = render(mesh, camera_of(SIZE), lights(), SIZE)
    camera = camera_of(SIZE)
    fields = (camera.rotation, camera.translation_mm, camera.focal_px, camera.principal_px)
    there = type(camera)(*(x.cuda() for x in fields))
    cuda_mesh = Mesh.of(v_obj.cuda(), faces.cuda(), painted(v_obj).cuda())
    got = render(cuda_mesh, there, lights().cuda(), SIZE, backend="torch")
    assert (got.triangle_ids.cpu() == want.triangle_ids).double().mean() > 0.999
    assert ((got.image.cpu() - want.image).abs() < 1e-3).double().mean() > 0.999


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("backend", ["torch", "nvdiffrast"])
def test_parity_with_nvdiffrast(backend):
    """Ids on 99.9 % of pixels, colours within 1e-3 away from ties, gradients within 1 % in norm."""
    dr = pytest.importorskip("nvdiffrast.torch", reason="nvdiffrast is not installed")
    v_clip, faces = head_clip("cuda")
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(2, v_clip.shape[1], 3, generator=generator).cuda()
    cotangent = torch.rand(2, *SIZE, 3, generator=generator).cuda()

    ours_in = v_clip.clone().requires_grad_()
    ours_colours = colours.clone().requires_grad_()
    raster = rasterize(ours_in, faces, SIZE, backend=backend)
    # reach 0 is nvdiffrast's own definition of a silhouette crossing
    ours = antialias(interpolate(ours_colours, raster), raster, Topology.of(faces, v_clip.shape[1]), reach=0)
    ours_grads = torch.autograd.grad(ours, (ours_in, ours_colours), cotangent)

    flip = torch.tensor([1.0, -1.0, 1.0, 1.0], device="cuda")
    theirs_in = v_clip.clone().requires_grad_()
    theirs_colours = colours.clone().requires_grad_()
    position, triangles = (theirs_in * flip).contiguous(), faces.int().contiguous()
    their_raster, _ = dr.rasterize(dr.RasterizeCudaContext(), position, triangles, SIZE)
    plain, _ = dr.interpolate(theirs_colours, their_raster, triangles)
    theirs = dr.antialias(plain.contiguous(), their_raster, position, triangles)
    their_grads = torch.autograd.grad(theirs, (theirs_in, theirs_colours), cotangent)

    same = raster.triangle_ids == their_raster[..., 3].int() - 1
    assert same.double().mean() > 0.999
    around_ties = torch.nn.functional.max_pool2d((~same)[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert (ours - theirs).abs()[~around_ties].max() < 1e-3
    for got, want in zip(ours_grads, their_grads, strict=True):
        assert (got - want).norm() < 0.01 * want.norm()
