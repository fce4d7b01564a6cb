"""pix2pix (Isola et al. 2017) as it was used for faces' depth: a U-Net of 8 steps down and 8 up, and a discriminator of
patches of 70 x 70 pixels. Pictures of 128 px have a step less, as in Isola et al.'s U-Net for them."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

_DOWN = (64, 128, 256, 512, 512, 512, 512, 512)
_UP = (512, 512, 512, 512, 256, 128, 64)
_DROPPED = 3
"""Of the steps up, the first ones have dropout of one half."""
_PATCH = (64, 128, 256, 512)


class Pix2PixGenerator(nn.Module):
    """Pictures in, one number in (-1, 1) for each pixel out; sides are multiples of 2 ** steps px.

    Args:
        steps: down, and as many up: 8, or 7 with one less of the narrowest maps.
    """

    def __init__(self, steps: Literal[7, 8] = 8) -> None:
        super().__init__()
        widths, up = _DOWN[:steps], _UP[len(_DOWN) - steps :]
        self.down = nn.ModuleList(
            _step_down(before, width, norm=0 < k < steps - 1)
            for k, (before, width) in enumerate(zip((3, *widths), widths, strict=False))
        )
        self.up = nn.ModuleList()
        below = widths[-1]
        for k, width in enumerate(up):
            self.up.append(_step_up(below, width, dropout=k < _DROPPED))
            below = width + widths[-2 - k]
        self.answer = nn.ConvTranspose2d(below, 1, 4, stride=2, padding=1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Coded depth of sRGB pictures in [0, 1]."""
        maps = [2.0 * pictures - 1.0]
        for step in self.down:
            maps.append(step(maps[-1]))
        found = maps.pop()
        for step in self.up:
            found = torch.cat((step(found), maps.pop()), dim=1)
        return torch.tanh(self.answer(found))


class PatchDiscriminator(nn.Module):
    """A picture and a coded depth map in, logits of its patches out: is it the true map of this picture?

    Three convolutions of stride 2 and two of stride 1 with a border of one pixel: 30 x 30 patches of 70 x 70 px at 256 px.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k, (before, width) in enumerate(zip((4, *_PATCH), _PATCH, strict=False)):
            stride = 2 if k < 3 else 1
            layers += [nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=k == 0)]
            layers += [nn.BatchNorm2d(width)] if k else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(_PATCH[-1], 1, 4, padding=1))

    def forward(self, pictures: Float[Tensor, "b 3 h w"], code: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 p q"]:
        """Logits of patches."""
        answer: Tensor = self.layers(torch.cat((2.0 * pictures - 1.0, code), dim=1))
        return answer


def _step_down(channels: int, out: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=not norm)]
    if norm:  # not on the picture itself, and not where one pixel may be left
        layers.append(nn.BatchNorm2d(out))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2))


def _step_up(channels: int, out: int, dropout: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, *([nn.Dropout(0.5)] if dropout else []), nn.ReLU())
