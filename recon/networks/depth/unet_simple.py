"""UNet-simple of the depth papers (Khan, Basak and Corcoran 2021): double convolutions, bilinear growth, skips."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512, 512)
"""Channels at 1, 1/2, 1/4, 1/8 and 1/16 of the picture's size. The papers print none; these give their 17.27 M parameters and
188 GMac at 640 x 480."""


class UNetSimple(nn.Module):
    """Pictures in, one number a pixel out, in the same size. 17 267 393 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _double(before, width, width) for before, width in zip((3, *_WIDTHS), _WIDTHS, strict=False)
        )
        self.up = nn.ModuleList()
        below = _WIDTHS[-1]
        for k in range(len(_WIDTHS) - 2, -1, -1):
            joined, out = below + _WIDTHS[k], _WIDTHS[max(k - 1, 0)]
            self.up.append(_double(joined, joined // 2, out))
            below = out
        self.answer = nn.Conv2d(below, 1, 1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Coded depth of sRGB pictures in [0, 1]."""
        maps = [self.down[0](pictures)]
        for block in self.down[1:]:
            maps.append(block(nn.functional.max_pool2d(maps[-1], 2)))
        found: Tensor = maps.pop()
        for block in self.up:
            skip = maps.pop()
            grown = nn.functional.interpolate(found, size=skip.shape[-2:], mode="bilinear", align_corners=True)
            found = block(torch.cat((skip, grown), dim=1))
        answer: Tensor = self.answer(found)
        return answer


def _double(channels: int, middle: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, middle, 3, padding=1),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
