"""The conditional GAN of Pini et al. 2018 ("Learning to generate facial depth maps"): grey faces to depth maps and back to a
discriminator, which sees the depth map alone. Its generator trained without the discriminator is their auto-encoder."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTHS = (128, 256, 512, 1024)
_NARROWING = (512, 256, 128, 64)
_GREY = (0.299, 0.587, 0.114)
"""Of the colours in a grey value (ITU-R BT.601)."""
SIDE_PX = 96
"""Of the pictures in the paper."""


class PiniGenerator(nn.Module):
    """Pictures in, one number in (-1, 1) for each pixel out. 34.6 M parameters; sides are multiples of 16 px."""

    grey: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grey", torch.tensor(_GREY).view(1, 3, 1, 1))
        self.encoder = _encoder()
        layers: list[nn.Module] = []
        for before, width in zip((_WIDTHS[-1], *_NARROWING), _NARROWING, strict=False):
            layers += [
                nn.ConvTranspose2d(before, width, 5, stride=2, padding=2, output_padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        self.decoder = nn.Sequential(*layers)
        self.answer = nn.Conv2d(_NARROWING[-1], 1, 5, padding=2)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Coded depth of sRGB pictures in [0, 1], of which the network sees the grey values."""
        grey = (pictures * self.grey).sum(dim=1, keepdim=True)
        return torch.tanh(self.answer(self.decoder(self.encoder(2.0 * grey - 1.0))))


class PiniDiscriminator(nn.Module):
    """Coded depth maps in, a logit out: is it a true one? 17.2 M parameters.

    Args:
        size: (H, W) of the maps, px, multiples of 16.
    """

    def __init__(self, size: tuple[int, int] = (SIDE_PX, SIDE_PX)) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.answer = nn.Linear(_WIDTHS[-1] * (size[0] // 16) * (size[1] // 16), 1)

    def forward(self, code: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
        """Logits."""
        answer: Tensor = self.answer(self.encoder(code).flatten(1))
        return answer[:, 0]


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in zip((1, *_WIDTHS), _WIDTHS, strict=False):
        layers += [
            nn.Conv2d(before, width, 5, stride=2, padding=2),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*layers)
