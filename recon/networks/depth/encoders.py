"""Encoders of published depth networks: timm's, without their classifier."""

from __future__ import annotations

from typing import Any

import timm
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.backbones import BackboneError

ENCODERS = (
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("resnet50", "resnet101", "efficientnet_b0", "efficientnet_b7"),
)
"""Names of the encoders that the papers put into DenseDepth."""
_NAMES = {"efficientnet_b7": "tf_efficientnet_b7"}
"""timm has ImageNet weights of B7 for this build alone, whose padding is that of the original."""


def timm_network(name: str, pretrained: bool, **options: Any) -> Any:
    """A network of timm without classifier, or its feature maps.

    Args:
        name: timm's.
        pretrained: with ImageNet weights.
        **options: passed on to timm.

    Raises:
        BackboneError: the weights cannot be fetched.
    """
    try:
        return timm.create_model(name, pretrained=pretrained, **({"num_classes": 0} if not options else options))
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise BackboneError(
            f"the ImageNet weights of {name} could not be fetched ({error}); connect to the network, set HF_HOME to a cache that "
            "has them, or train with pretrained: false"
        ) from error


class Encoder(nn.Module):
    """Five feature maps of an encoder, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size.

    Args:
        name: one of :data:`ENCODERS`.
        pretrained: start from ImageNet.

    Attributes:
        channels: of each map, the finest first.

    Raises:
        ValueError: an unknown name.
        BackboneError: the weights cannot be fetched.
    """

    def __init__(self, name: str, pretrained: bool = False) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise ValueError(f"unknown encoder {str(name)[:40]!r}; known: {', '.join(ENCODERS)}")
        self._is_densenet = name.startswith("densenet")
        if self._is_densenet:
            self.body = timm_network(name, pretrained)
            first = int(self.body.features.conv0.out_channels)
            narrowed = [int(getattr(self.body.features, f"transition{k}").conv.out_channels) for k in (1, 2)]
            self.channels = (first, first, *narrowed, int(self.body.num_features))
        else:
            self.body = timm_network(_NAMES.get(name, name), pretrained, features_only=True)
            self.channels = tuple(int(count) for count in self.body.feature_info.channels())

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps, the finest first, of normalised pictures."""
        return self._of_densenet(pictures) if self._is_densenet else list(self.body(pictures))

    def _of_densenet(self, found: Tensor) -> list[Tensor]:
        """DenseDepth's skips are what the transitions narrow, not the wide maps before them."""
        maps = []
        for name, layer in self.body.features.named_children():
            found = layer(found)
            if name in ("norm0", "pool0", "transition1", "transition2", "norm5"):
                maps.append(found)
        return maps
