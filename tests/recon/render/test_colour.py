import torch

from recon.render.colour import linear_to_srgb, srgb_to_linear


def test_known_values():
    linear = torch.tensor([-0.1, 0.0, 0.001, 0.2140, 0.5, 1.0], dtype=torch.float64)
    want = torch.tensor([-1.292, 0.0, 0.01292, 0.5, 0.7354, 1.0], dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(linear), want, rtol=0, atol=1e-4)


def test_there_and_back():
    values = torch.linspace(-0.2, 1.5, 200, dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(values)), values, rtol=0, atol=1e-6)


def test_gradients_are_finite_at_black():
    values = torch.tensor([0.0, 1e-9, -1.0, 0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear_to_srgb, values)
    assert torch.autograd.gradcheck(srgb_to_linear, values)
