"""DenseDepth (Alhashim and Wonka 2018, "High quality monocular depth estimation via transfer learning") with the encoders that
the depth papers put into it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.depth.encoders import Encoder
from recon.networks.depth.growing import Growing, Normalised


class DenseDepth(nn.Module):
    """Pictures in; one number for each 2 x 2 pixels out with a DenseNet, as published, one for each pixel with another encoder.

    Args:
        encoder: one of :data:`recon.networks.depth.encoders.ENCODERS`.
        pretrained: start from ImageNet.

    Raises:
        ValueError: an unknown encoder.
        BackboneError: the weights cannot be fetched.
    """

    def __init__(self, encoder: str = "densenet169", pretrained: bool = False) -> None:
        super().__init__()
        self.normalised = Normalised()
        self.encoder = Encoder(encoder, pretrained)
        *skips, widest = self.encoder.channels
        self.bridge = nn.Conv2d(widest, widest, 1)
        self.steps = nn.ModuleList()
        for k, skip in enumerate(reversed(skips)):
            self.steps.append(Growing(widest >> k, skip, widest >> k + 1))
        last = widest >> len(skips)
        self.to_full_size = None if encoder.startswith("densenet") else Growing(last, 0, last // 2)
        self.answer = nn.Conv2d(last if self.to_full_size is None else last // 2, 1, 3, padding=1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Coded depth of sRGB pictures in [0, 1]."""
        *skips, found = self.encoder(self.normalised(pictures))
        found = self.bridge(nn.functional.relu(found))
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            found = step(found, skip)
        if self.to_full_size is not None:
            found = self.to_full_size(found)
        answer: Tensor = self.answer(found)
        return answer
