"""Bilinear samples are where they are said to be."""

import pytest
import torch

from recon.render.sampling import sample_pixels, sample_uv

IMAGE = torch.arange(6.0).view(1, 2, 3)  # two rows from the top, three columns


def test_texel_centres_and_row_order():
    uv = torch.tensor([[0.5 / 3, 0.75], [2.5 / 3, 0.75], [0.5 / 3, 0.25], [0.5, 0.5], [-1.0, 2.0]])
    # v runs up: the first row is at v = 0.75; outside, the border is repeated
    torch.testing.assert_close(sample_uv(IMAGE, uv)[:, 0], torch.tensor([0.0, 2.0, 3.0, 2.5, 0.0]))


def test_pixel_centres_lie_at_half_integers():
    pixels = torch.tensor([[0.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.0], [1.0, 0.5]])
    torch.testing.assert_close(sample_pixels(IMAGE, pixels)[:, 0], torch.tensor([0.0, 2.0, 3.0, 2.5, 0.5]))


@pytest.mark.parametrize(("outside", "wanted"), [("border", [5.0, 0.0]), ("zeros", [0.0, 0.0])])
def test_beyond_the_picture(outside, wanted):
    pixels = torch.tensor([[50.0, 40.0], [float("nan"), float("nan")]])
    torch.testing.assert_close(sample_pixels(IMAGE, pixels, outside=outside)[:, 0], torch.tensor(wanted))


def test_the_edge_of_zeros_is_half_a_pixel_wide():
    image = torch.ones(2, 4, 5)
    values = sample_pixels(image, torch.tensor([[0.0, 2.0], [5.0, 2.0], [-0.5, 2.0]]), outside="zeros")
    torch.testing.assert_close(values, torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]))


@pytest.mark.parametrize("sample", [sample_uv, sample_pixels])
def test_gradients_agree_with_finite_differences(sample):
    generator = torch.Generator().manual_seed(0)
    image, places = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in ((3, 5, 7), (6, 2)))
    places = places if sample is sample_uv else places * 4.0
    assert torch.autograd.gradcheck(sample, (image.requires_grad_(), places.requires_grad_()))
