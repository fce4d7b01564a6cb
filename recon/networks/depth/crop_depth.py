"""Our depth network: a crop of a face in; relief, scale, normals, uncertainty and what is seen out.

With a focal length of F sides of the crop, a head whose origin is z0 away shows s = F / z0 sides a millimetre. The network
answers what a crop shows: s, which is the size of the face in it, and the relief r, the depth behind the head's origin times s.
Planar depth of a point then is z = (F + r) / s: metric as soon as the focal length is known, and a wrong focal length moves the
head to another place but leaves its shape in millimetres as it is.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.backbones import BACKBONES, Backbone
from recon.networks.landmark_network import FeaturePyramid

CLASSES = ("background", "skin", "hair", "other")
"""What a pixel shows; ``skin`` is the whole surface of the head, eyes and lips included, and of the body; ``other`` clothes, glasses,
hands."""
FRAME = 1.25
"""Sides of the standard crop (:func:`recon.detection.align.align`) a side of this network's, so that hair and chin are inside."""
SIDES_PER_MM = 1.02 / 224.0 / FRAME
"""Usual s: the standard crop shows 1.02 px a millimetre at 224 px."""
_LOG_SIGMA = (-9.0, 1.0)
_UNSURE = -3.0
"""Logarithm of sigmas at the beginning."""
_STEM = 16
_FINE = 48
_LEAST_SIDES = 1e-3
"""No point is nearer to the camera's plane."""


@dataclasses.dataclass(frozen=True)
class CropDepthConfig:
    """How our network is built.

    Attributes:
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`, of convolutions.
        size: side of the crop that it is used at, px, a multiple of 32.
        width: channels of the features at a quarter of the size.
        pretrained: start from ImageNet.

    Raises:
        ValueError: an unknown backbone, or a size that it cannot have.
    """

    backbone: str = "mobilenetv4_small"
    size: int = 256
    width: int = 96
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES or BACKBONES[self.backbone].fixed_size:
            known = ", ".join(name for name, info in BACKBONES.items() if not info.fixed_size)
            raise ValueError(
                f"a depth network needs a backbone of convolutions, got {str(self.backbone)[:40]!r}; known: {known}"
            )
        for name, most in (("size", 2048), ("width", 1024)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {str(value)[:40]!r}")
        if self.size % 32:
            raise ValueError(f"size must be a multiple of 32 px, got {self.size}")


@dataclasses.dataclass(frozen=True, eq=False)
class CropDepthPrediction:
    """What the network says of B crops, at the crops' size.

    Attributes:
        relief: ``(B, 1, H, W)`` depth behind the head's origin, in sides of the crop at that origin.
        log_sigma: ``(B, 1, H, W)`` logarithm of the scale of the relief's Laplace distribution.
        log_scale: ``(B,)`` logarithm of s over :data:`SIDES_PER_MM`.
        log_sigma_scale: ``(B,)`` of its own error.
        normals: ``(B, 3, H, W)`` unit vectors in the camera frame of the crop.
        classes: ``(B, 4, H, W)`` logits of :data:`CLASSES`.
    """

    relief: Float[Tensor, "b 1 h w"]
    log_sigma: Float[Tensor, "b 1 h w"]
    log_scale: Float[Tensor, " b"]
    log_sigma_scale: Float[Tensor, " b"]
    normals: Float[Tensor, "b 3 h w"]
    classes: Float[Tensor, "b 4 h w"]

    @property
    def mm_per_side(self) -> Float[Tensor, " b"]:
        """Size of a side of the crop at the head's origin."""
        return torch.exp(-self.log_scale) / SIDES_PER_MM

    def depth_mm(self, focal_sides: Float[Tensor, " b"]) -> Float[Tensor, "b 1 h w"]:
        """Planar depth along the crop's axis.

        Args:
            focal_sides: focal length of the crop's camera in sides of the crop.
        """
        behind = (focal_sides[:, None, None, None] + self.relief).clamp_min(_LEAST_SIDES)
        return behind * self.mm_per_side[:, None, None, None]

    def sigma_mm(self) -> Float[Tensor, "b 1 h w"]:
        """Scale of the relief's error, without that of the head's distance."""
        return self.log_sigma.exp() * self.mm_per_side[:, None, None, None]


class CropDepthNetwork(nn.Module):
    """Crops in, depth out.

    Args:
        config: how it is built.

    Raises:
        BackboneError: see :class:`recon.networks.backbones.Backbone`.
    """

    def __init__(self, config: CropDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, config.size, pretrained=config.pretrained)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.width)
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(_STEM), nn.ReLU(inplace=True)
        )
        self.mix = nn.Sequential(_separable(config.width + _STEM, _FINE), _separable(_FINE, _FINE))
        self.maps = nn.Conv2d(_FINE, 5 + len(CLASSES), 1)
        last = nn.Linear(64, 2)
        self.scale = nn.Sequential(nn.Linear(self.backbone.channels[0], 64), nn.ReLU(inplace=True), last)
        nn.init.normal_(self.maps.weight, std=0.01)
        nn.init.normal_(last.weight, std=0.01)
        # Unsure at first, and turned towards the camera.
        self.maps.bias = nn.Parameter(torch.tensor([0.0, _UNSURE, 0.0, 0.0, 1.0, *[0.0] * len(CLASSES)]))
        last.bias = nn.Parameter(torch.tensor([0.0, _UNSURE]))

    def forward(self, crops: Float[Tensor, "b 3 h w"]) -> CropDepthPrediction:
        """Depth of crops.

        Args:
            crops: sRGB code values in [0, 1], sides multiples of 32; normalisation is inside.
        """
        maps = self.backbone(crops)
        half = nn.functional.interpolate(self.pyramid(maps), scale_factor=2.0, mode="bilinear", align_corners=False)
        fine = self.maps(self.mix(torch.cat((half, self.stem(crops)), dim=1))).float()
        whole = nn.functional.interpolate(fine, size=crops.shape[-2:], mode="bilinear", align_corners=False)
        scale = self.scale(maps[0].mean(dim=(-2, -1))).float()
        return CropDepthPrediction(
            relief=whole[:, :1],
            log_sigma=whole[:, 1:2].clamp(*_LOG_SIGMA),
            log_scale=scale[:, 0],
            log_sigma_scale=scale[:, 1].clamp(*_LOG_SIGMA),
            normals=nn.functional.normalize(whole[:, 2:5], dim=1),
            classes=whole[:, 5:],
        )


def _separable(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
