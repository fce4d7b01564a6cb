"""Conversion between linear light and code values."""

import importlib
import sys

import pytest
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


def test_the_old_names_are_the_same_functions():
    sys.modules.pop("recon.display", None)
    with pytest.warns(FutureWarning, match="to_photo encode_srgb_unclamped"):
        old = importlib.import_module("recon.display")
    assert (old.to_display, old.to_photo, old.from_display) == (encode_srgb, encode_srgb_unclamped, decode_srgb)


def test_beyond_white_the_curve_goes_on_with_its_slope():
    ends = torch.tensor([0.9999, 1.0, 1.0001], dtype=torch.float64)
    below, above = encode_srgb_unclamped(ends, "linear").diff().tolist()
    assert above == pytest.approx(below, rel=2e-3)
