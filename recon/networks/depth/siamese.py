"""The verifier of Pini et al. 2018: are two depth maps of one person?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 256, 256)


class SiameseVerifier(nn.Module):
    """Pairs of coded depth maps of 96 x 96 px in, logits out: the same person?

    Both maps pass the same convolutions; how their features meet is not printed, and here it is the absolute difference, which
    makes the answer independent of their order. Weights begin as He et al. 2015 have them for ReLU: with torch's own, seven layers
    leave next to nothing of what tells two maps apart, and training stays at chance for hundreds of steps.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((1, *_WIDTHS), _WIDTHS, strict=False):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten())
        self.answer = nn.Sequential(
            nn.Linear(_WIDTHS[-1], 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, first: Float[Tensor, "b 1 96 96"], second: Float[Tensor, "b 1 96 96"]) -> Float[Tensor, " b"]:
        """Logits, positive for one person."""
        apart = torch.abs(self.features(first) - self.features(second))
        answer: Tensor = self.answer(apart)
        return answer[:, 0]
