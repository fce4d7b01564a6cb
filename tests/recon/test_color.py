"""Conversion between linear light and code values."""

import torch

from recon.color import decode_srgb, encode_srgb, encode_srgb_unclamped, linear_to_srgb, srgb_to_linear


def test_known_values_and_round_trip():
    # Half of the code range is 21.4 % of the light (IEC 61966-2-1).
    torch.testing.assert_close(srgb_to_linear(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.21404, 1.0]))
    codes = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(codes)), codes, rtol=0.0, atol=2e-7)


def test_gradient_is_finite_everywhere():
    values = torch.tensor([-0.5, 0.0, 1e-9, 0.0031308, 0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    encode_srgb_unclamped(values, "linear").sum().backward()
    assert torch.isfinite(values.grad).all()
    assert float(values.grad[-1]) > 0.0


def test_srgb_models_are_only_clamped():
    values = torch.tensor([-0.2, 0.3, 1.4])
    torch.testing.assert_close(encode_srgb(values, "srgb"), torch.tensor([0.0, 0.3, 1.0]))
    assert torch.equal(decode_srgb(values, "srgb"), values)
