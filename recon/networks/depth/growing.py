"""The decoder step that DenseDepth (Alhashim and Wonka 2018) and FaceDepth share: grow to a skip's size, join, convolve twice."""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Growing(nn.Module):
    """Bilinear growth to the size of a skip, both joined, two 3 x 3 convolutions with LeakyReLU 0.2.

    Args:
        channels: of the map that grows.
        skip: channels of the skip; 0 grows by 2 and joins nothing.
        out: channels of the result.
    """

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + skip, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, found: Tensor, skip: Tensor | None = None) -> Tensor:
        """The next map."""
        size = skip.shape[-2:] if skip is not None else (2 * found.shape[-2], 2 * found.shape[-1])
        joined = nn.functional.interpolate(found, size=size, mode="bilinear", align_corners=True)
        if skip is not None:
            joined = torch.cat((joined, skip), dim=1)
        grown = nn.functional.leaky_relu(self.first(joined), 0.2)
        return nn.functional.leaky_relu(self.second(grown), 0.2)


class Normalised(nn.Module):
    """Pictures in [0, 1] as networks of ImageNet want them."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """The normalised pictures."""
        return (pictures - self.mean) / self.std
