import numpy as np
import pytest
import torch
from render_scenes import bumpy_head, two_heads

from recon.render import vertex_normals
from recon.render.mesh import face_normal_sums_reference, unit, vertex_normals_of_arrays


def test_normals_of_a_sphere_point_outward():
    v_obj, faces = bumpy_head(32, 20, torch.float64)
    sphere = 100 * v_obj / v_obj.norm(dim=1, keepdim=True)
    normals = vertex_normals(sphere[None], faces)[0]
    assert ((normals * sphere / 100).sum(1) > 0.99).all()
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(sphere)).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_normals_equal_their_twin(dtype):
    vertices, faces = two_heads(dtype)
    vertices.requires_grad_()
    cotangent = torch.randn(vertices.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    fast, slow = vertex_normals(vertices, faces), unit(face_normal_sums_reference(vertices, faces))
    fast_grad = torch.autograd.grad(fast, vertices, cotangent)[0]
    slow_grad = torch.autograd.grad(slow, vertices, cotangent)[0]
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(fast, slow, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fast_grad, slow_grad, rtol=tolerance, atol=tolerance)


def test_gradients():
    vertices, faces = two_heads(torch.float64)
    few = vertices[:, :8].clone().requires_grad_()
    some = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 5, 7], [0, 2, 7]])
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, some), few)


def test_faces_without_area_and_lone_vertices_have_no_normal_and_no_gradient():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5], [0, 1, 0]]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [4, 4, 1]])
    normals = vertex_normals(vertices, faces)
    assert (normals == 0).all()
    normals.sum().backward()
    assert (vertices.grad == 0).all()


def test_opposite_faces_cancel_to_no_gradient():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]], requires_grad=True)
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 2, 1]]))
    assert (normals == 0).all()
    (normals * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert (vertices.grad == 0).all()


def test_large_faces_weigh_more():
    vertices = torch.tensor([[[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 1], [0, 1, 0]]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 4, 3]]))
    torch.testing.assert_close(normals[0, 0], torch.tensor([1.0, 0, 100]) / torch.tensor(10001.0).sqrt())


def test_normals_of_arrays_are_those_of_tensors_and_arrays_stay_as_they_are():
    v_obj, faces = two_heads(torch.float32)
    vertices, triangles = v_obj[0].numpy(), faces.numpy().astype(np.int32)
    for array in (vertices, triangles):
        array.setflags(write=False)
    normals = vertex_normals_of_arrays(vertices, triangles)
    assert normals.dtype == np.float64
    torch.testing.assert_close(torch.tensor(normals), vertex_normals(v_obj[:1].double(), faces)[0])
