import pytest
import torch

from recon.render.mesh import unit
from recon.render.shading import shade_packed, shade_packed_reference


def inputs(dtype, channels):
    generator = torch.Generator().manual_seed(0)
    starts = (0, 40, 40, 101)  # one picture shows nothing
    albedo = torch.rand(101, 3, dtype=dtype, generator=generator).requires_grad_()
    normals = unit(torch.randn(101, 3, dtype=dtype, generator=generator)).requires_grad_()
    lighting = torch.randn(3, 9, channels, dtype=dtype, generator=generator).requires_grad_()
    return albedo, normals, lighting, starts


@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_shading_equals_its_twin(dtype, channels, threads):
    albedo, normals, lighting, starts = inputs(dtype, channels)
    cotangent = torch.randn(101, 3, dtype=dtype, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        fast = shade_packed(albedo, normals, lighting, starts)
        fast_grads = torch.autograd.grad(fast, (albedo, normals, lighting), cotangent)
    finally:
        torch.set_num_threads(before)
    slow = shade_packed_reference(albedo, normals, lighting, starts)
    slow_grads = torch.autograd.grad(slow, (albedo, normals, lighting), cotangent)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for got, want in zip((fast, *fast_grads), (slow, *slow_grads), strict=True):
        torch.testing.assert_close(got, want, rtol=10 * tolerance, atol=tolerance)


def test_gradients():
    albedo, normals, lighting, starts = inputs(torch.float64, 3)
    assert torch.autograd.gradcheck(lambda *x: shade_packed(*x, starts), (albedo, normals, lighting), fast_mode=True)
