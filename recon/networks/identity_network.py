"""Who somebody is, by a small network: an aligned face of 112 px in, an embedding out, as of :class:`recon.networks.arcface.IResNet`.

Its head keeps the places of features, as ArcFace's does, and does not average over them: where on an aligned face something is seen
tells as much as what it is.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.arcface import CROP_PX, IResNet
from recon.networks.backbones import BACKBONES, Backbone, BackboneError

IRESNETS = ("iresnet18", "iresnet50", "iresnet100")
_LARGEST = 1024


@dataclasses.dataclass(frozen=True)
class IdentityConfig:
    """How an identity network is built.

    Attributes:
        architecture: a convolutional network of :data:`recon.networks.backbones.BACKBONES`, or one of :data:`IRESNETS`.
        embedding: length of the embedding.
        width: channels that a backbone's features of seven by seven places are brought to; of an IResNet, those of its first stage.
        drop: share of the features that training leaves out before the last layer of a backbone's head.

    Raises:
        ValueError: a number beyond every network.
    """

    architecture: str = "mobilenetv4_small"
    embedding: int = 128
    width: int = 64
    drop: float = 0.2

    def __post_init__(self) -> None:
        for name in ("embedding", "width"):
            if not (type(getattr(self, name)) is int and 1 <= getattr(self, name) <= _LARGEST):
                raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, got {getattr(self, name)!r}")
        if not 0.0 <= self.drop < 1.0:
            raise ValueError(f"drop must lie in [0, 1), got {self.drop}")


class IdentityNetwork(nn.Module):
    """A backbone of timm with a head for embeddings.

    Args:
        config: with the name of a backbone.

    Raises:
        BackboneError: an unknown backbone, or one that is built for other sizes.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        if config.architecture in BACKBONES and BACKBONES[config.architecture].fixed_size:
            raise BackboneError(
                f"{config.architecture} is built for one size of picture and none of {CROP_PX} px; take a convolutional network"
            )
        # Convolutions take 112 px, too, and give 7 and 4 places a side.
        self.backbone = Backbone(config.architecture, 128)
        coarse, fine = self.backbone.channels[:2]
        self.narrow = nn.Sequential(
            nn.Conv2d(fine, config.width, 1, bias=False), nn.BatchNorm2d(config.width), nn.PReLU(config.width)
        )
        self.drop = nn.Dropout(config.drop)
        self.fc = nn.Linear(config.width * (CROP_PX // 16) ** 2 + coarse, config.embedding, bias=False)
        self.features = nn.BatchNorm1d(config.embedding)

    def forward(self, crops: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        """Embeddings ``(B, D)``, not normalised, of RGB crops in [-1, 1], aligned as :func:`recon.networks.arcface.aligned_crops`.

        Raises:
            ValueError: crops of another size.
        """
        if crops.shape[-2:] != (CROP_PX, CROP_PX):
            raise ValueError(f"crops must have {CROP_PX} x {CROP_PX} px, got {tuple(crops.shape)}")
        coarse, fine = self.backbone(0.5 * crops + 0.5)[:2]
        told = torch.cat((self.narrow(fine).flatten(1), coarse.mean(dim=(2, 3))), dim=1)
        found: Tensor = self.features(self.fc(self.drop(told)))
        return found


AnyIdentityNetwork = IdentityNetwork | IResNet


def build_identity_network(config: IdentityConfig) -> AnyIdentityNetwork:
    """The network of a config, with random weights.

    Raises:
        BackboneError: see :class:`IdentityNetwork`.
    """
    if config.architecture in IRESNETS:
        return IResNet(config.architecture, config.embedding, config.width)
    return IdentityNetwork(config)


def config_of_network(network: AnyIdentityNetwork) -> IdentityConfig:
    """What it was built by."""
    if isinstance(network, IdentityNetwork):
        return network.config
    return IdentityConfig(network.name, network.fc.out_features, network.conv1.out_channels, 0.0)


IDENTITY_ROWS: tuple[tuple[str, IdentityConfig], ...] = (
    ("our identity network", IdentityConfig()),
    *((f"ArcFace, IResNet-{depth}", IdentityConfig(f"iresnet{depth}", 512, 64, 0.0)) for depth in (18, 50, 100)),
)
"""What ``recon complexity`` counts."""
