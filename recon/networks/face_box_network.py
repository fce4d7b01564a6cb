"""The face box network: a picture of any size in, at every eighth pixel a belief that a face's middle is there, its size and its
five points.

Faces are points with properties (Zhou et al. 2019, "Objects as points"): no anchors, and overlapping answers are the peaks of
one map. Nothing but convolutions, so a whole photo is searched at once, at several scales.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from recon.networks.backbones import BACKBONES, Backbone
from recon.networks.landmark_network import FeaturePyramid

STRIDE_PX = 8
"""Distance of the places that answer."""
_POINTS = 6
_RARE = -4.6
"""Logit of faces at the beginning: one place in a hundred (Lin et al. 2017, "Focal loss")."""


@dataclasses.dataclass(frozen=True)
class FaceBoxNetworkConfig:
    """How a face box network is built.

    Attributes:
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`, of convolutions.
        size: side of the pictures that it is trained with, px.
        width: channels of the features that are read.
        face_px: size of the smallest and of the largest face that it knows; larger ones are found in smaller pictures.
        pretrained: start from ImageNet.
    """

    backbone: str = "mobilenetv4_small"
    size: int = 192
    width: int = 64
    face_px: tuple[float, float] = (12.0, 110.0)
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES or BACKBONES[self.backbone].fixed_size:
            known = ", ".join(name for name, info in BACKBONES.items() if not info.fixed_size)
            raise ValueError(
                f"a face box network needs a backbone of convolutions, got {self.backbone!r}; known: {known}"
            )
        for name, most in (("size", 2048), ("width", 1024)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {str(value)[:40]!r}")
        low, high = self.face_px
        if not 4.0 <= low < high <= self.size:
            raise ValueError(f"face_px must be two numbers with 4 <= first < second <= size, got {self.face_px}")


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBoxPrediction:
    """Answers on a grid of h x w places, the first of which is the pixel (4, 4).

    Attributes:
        logit: ``(B, h, w)`` of the belief that a face's middle is here.
        log_side: ``(B, h, w)`` logarithm of the side of that face's box, px.
        points_px: ``(B, h, w, 6, 2)`` the middle of the box, then the five points of :class:`recon.detection.Face`, px of the
            picture.
    """

    logit: Float[Tensor, "b h w"]
    log_side: Float[Tensor, "b h w"]
    points_px: Float[Tensor, "b h w 6 2"]


class FaceBoxNetwork(nn.Module):
    """Pictures in, faces out.

    Args:
        config: how it is built.

    Raises:
        BackboneError: see :class:`recon.networks.backbones.Backbone`.
    """

    def __init__(self, config: FaceBoxNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, config.size, pretrained=config.pretrained)
        self.pyramid = FeaturePyramid(self.backbone.channels[:3], config.width)
        self.mix = nn.Sequential(
            nn.Conv2d(config.width, config.width, 3, padding=1, bias=False),
            nn.BatchNorm2d(config.width),
            nn.ReLU(inplace=True),
        )
        self.answer = nn.Conv2d(config.width, 2 + 2 * _POINTS, 1)
        nn.init.normal_(self.answer.weight, std=0.01)
        low, high = config.face_px
        self.answer.bias = nn.Parameter(torch.tensor([_RARE, 0.5 * math.log(low * high), *[0.0] * (2 * _POINTS)]))

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> FaceBoxPrediction:
        """Faces of pictures.

        Args:
            pictures: sRGB code values in [0, 1], sides multiples of 32; normalisation is inside.
        """
        answer = self.answer(self.mix(self.pyramid(self.backbone(pictures)[:3]))).float()
        logit, log_side = answer[:, 0], answer[:, 1].clamp(0.0, 7.0)
        offset = answer[:, 2:].unflatten(1, (_POINTS, 2)).permute(0, 3, 4, 1, 2)
        # In sides of the box; that the size is right is learnt from the size alone.
        points_px = places_px(answer)[:, :, None] + log_side.detach().exp()[..., None, None] * offset
        return FaceBoxPrediction(logit, log_side, points_px)


def places_px(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "h w 2"]:
    """Where the cells of a map lie in the picture: x right, y down, px, pixel centres at +0.5."""
    height, width = maps.shape[-2:]
    y = STRIDE_PX * (torch.arange(height, device=maps.device) + 0.5)
    x = STRIDE_PX * (torch.arange(width, device=maps.device) + 0.5)
    return torch.stack((x[None].expand(height, width), y[:, None].expand(height, width)), dim=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class FacePeaks:
    """Faces in some pictures, M in number, the surest first.

    Attributes:
        picture: ``(M,)`` in which of them.
        score: ``(M,)`` in [0, 1].
        side_px: ``(M,)`` of the box.
        points_px: ``(M, 6, 2)`` as in :class:`FaceBoxPrediction`.
    """

    picture: Int[Tensor, " m"]
    score: Float[Tensor, " m"]
    side_px: Float[Tensor, " m"]
    points_px: Float[Tensor, "m 6 2"]


def peaks_of(found: FaceBoxPrediction, min_score: float) -> FacePeaks:
    """Places that are surer than their eight neighbours.

    Args:
        found: what the network says.
        min_score: of a peak.
    """
    highest = nn.functional.max_pool2d(found.logit[:, None], 3, stride=1, padding=1)[:, 0]
    score = found.logit.sigmoid()
    picture, row, column = torch.nonzero((found.logit >= highest) & (score >= min_score), as_tuple=True)
    order = score[picture, row, column].argsort(descending=True, stable=True)
    at = (picture[order], row[order], column[order])
    return FacePeaks(at[0], score[at], found.log_side[at].exp(), found.points_px[at])
