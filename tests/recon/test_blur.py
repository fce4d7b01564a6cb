"""Gaussian blur."""

import torch

from recon.blur import gaussian_blur


def test_blur_keeps_the_mean_and_spreads_a_point():
    picture = torch.zeros(2, 3, 41, 45)
    picture[:, :, 20, 22] = 1.0
    result = gaussian_blur(picture, torch.tensor([1.0, 2.0]))
    assert torch.allclose(result.sum(dim=(2, 3)), torch.ones(2, 3), atol=1e-4)
    columns = torch.arange(45) - 22.0
    spread = (result.sum(dim=2) * columns**2).sum(-1).sqrt()
    assert torch.allclose(spread[:, 0], torch.tensor([1.0, 2.0]), atol=0.06)


def test_one_sigma_is_that_of_all_and_equal_pictures_stay_equal():
    picture = torch.rand(1, 2, 30, 20, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1, -1)
    result = gaussian_blur(picture, 1.3)
    assert torch.equal(result, gaussian_blur(picture, torch.full((3,), 1.3)))
    assert torch.equal(result[:1], gaussian_blur(picture[:1], 1.3)) and torch.equal(result[0], result[2])


def test_the_border_is_continued_and_no_sigma_is_no_blur():
    picture = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(gaussian_blur(torch.full((1, 3, 9, 9), 0.4), 3.0), torch.full((1, 3, 9, 9), 0.4), atol=1e-6)
    assert torch.equal(gaussian_blur(picture, 0.0), picture)
