"""FaceDepth of the depth papers (Khan et al. 2021, "An efficient encoder-decoder model for portrait depth estimation").

The text tells of five layers of 5 x 5 convolutions and three skips, which cannot give the size that is printed beside it.
MobileNetV2 with six steps of DenseDepth's kind gives it to the digit, so that is built here: 13.14 M parameters, and 14.42 M as
printed with ImageNet's classifier, which an encoder does not use.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.depth.encoders import timm_network
from recon.networks.depth.growing import Growing, Normalised

_WIDEST = 768
_STEPS = ((320, 384), (160, 384), (64, 192), (32, 96), (24, 96), (16, 48))
"""Channels of skip and result, the coarsest first."""
_SKIPS = (0, 1, 2, 3, 5, 6)
"""MobileNetV2's stages that are skips: 16 @ 1/2, 24 @ 1/4, 32 @ 1/8, 64 @ 1/16, 160 and 320 @ 1/32."""


class FaceDepth(nn.Module):
    """Pictures in, one number for each 2 x 2 pixels out.

    Args:
        pretrained: start from ImageNet.

    Raises:
        BackboneError: the weights cannot be fetched.
    """

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.normalised = Normalised()
        self.encoder = timm_network("mobilenetv2_100", pretrained)
        self.bridge = nn.Conv2d(1280, _WIDEST, 1, padding=1)
        widths = (_WIDEST, *(out for _, out in _STEPS))
        self.steps = nn.ModuleList(
            Growing(before, skip, out) for before, (skip, out) in zip(widths, _STEPS, strict=False)
        )
        self.answer = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Coded depth of sRGB pictures in [0, 1], in half their size."""
        encoder = self.encoder
        found = encoder.bn1(encoder.conv_stem(self.normalised(pictures)))
        skips = []
        for stage, block in enumerate(encoder.blocks):
            found = block(found)
            if stage in _SKIPS:
                skips.append(found)
        found = self.bridge(encoder.bn2(encoder.conv_head(found)))
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            found = step(found, skip)
        answer: Tensor = self.answer(found)
        return answer
