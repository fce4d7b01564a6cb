"""The regressor: backbone, optional feature aggregation, coefficient head."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.camera import CameraModel, check_camera_model
from recon.networks.backbones import BACKBONES, Backbone
from recon.networks.fam import AggregationPyramid
from recon.networks.head import CoefficientHead, FaceBlocks
from recon.parameters import FaceParameters

_OPTIONS = "backbone_options"


@dataclasses.dataclass(frozen=True)
class RegressorConfig:
    """How a regressor is built.

    Attributes:
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`.
        size: side of the picture in px.
        fam: refine features coarse to fine, and pool the finest (the paper's FAM).
        fam_width: channels inside the FAM; ``None`` as in the paper. Only used with ``fam``.
        fam_norm: a normalisation inside the FAM, which the paper's equations lack and half precision needs.
        pool: ``mean`` over the picture, or ``grid``: a 1 x 1 layer to a few channels, kept where they are, so that the
            place of things survives. Landmarks of small networks need it; the paper pools.
        pool_channels: channels of the grid.
        camera: how the head is projected, ``perspective`` or ``weak_perspective`` (Eq. 4 of the paper).
        white_light: nine lighting coefficients for all colour channels, as in the paper, instead of nine a channel.
        pretrained: start from ImageNet.
        checkpointing: trade time for memory in training.
        backbone_options: of the backbone, to build smaller networks; see :class:`recon.networks.backbones.Backbone`.
    """

    backbone: str = "swin_tiny"
    size: int = 224
    fam: bool = True
    fam_width: int | None = None
    fam_norm: bool = True
    pool: Literal["mean", "grid"] = "mean"
    pool_channels: int = 64
    camera: CameraModel = "perspective"
    white_light: bool = False
    pretrained: bool = False
    checkpointing: bool = False
    backbone_options: dict[str, Any] | None = None


def config_to_dict(config: RegressorConfig) -> dict[str, Any]:
    """For JSON, without the options of the backbone: checkpoints hold these beside it."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name != _OPTIONS}


def config_of_dict(values: object) -> RegressorConfig:
    """Back from :func:`config_to_dict` or JSON; never pretrained, because weights follow.

    Raises:
        ValueError: an unknown key, or a value that no network has.
    """
    usual = {field.name: field.default for field in dataclasses.fields(RegressorConfig) if field.name != _OPTIONS}
    if not isinstance(values, dict) or not set(values) <= set(usual):
        raise ValueError(f"the config of a regressor has the keys {', '.join(sorted(usual))}")
    found: dict[str, Any] = {**usual, **values, "pretrained": False}
    if not isinstance(found["backbone"], str) or found["backbone"] not in BACKBONES:
        raise ValueError(f"unknown backbone {str(found['backbone'])[:40]!r}; known: {', '.join(BACKBONES)}")
    for name, most in (("size", 2048), ("fam_width", 8192), ("pool_channels", 8192)):
        value = found[name]
        if not (type(value) is int and 1 <= value <= most) and not (name == "fam_width" and value is None):
            raise ValueError(f"{name} must be a whole number from 1 to {most}, found {str(value)[:40]!r}")
    if found["pool"] not in ("mean", "grid") or not all(
        type(found[name]) is bool for name in ("fam", "fam_norm", "white_light", "checkpointing")
    ):
        raise ValueError("pool must be 'mean' or 'grid', fam, fam_norm, white_light and checkpointing true or false")
    check_camera_model(found["camera"])
    return RegressorConfig(**found)


class Regressor(nn.Module):
    """Pictures and their intrinsics in, coefficients out.

    Args:
        config: how it is built.
        blocks: of the face model.

    Raises:
        BackboneError: see :class:`recon.networks.backbones.Backbone`.
    """

    def __init__(self, config: RegressorConfig, blocks: FaceBlocks) -> None:
        super().__init__()
        self.config, self.blocks = config, blocks
        self.backbone = Backbone(
            config.backbone,
            config.size,
            pretrained=config.pretrained,
            checkpointing=config.checkpointing,
            **(config.backbone_options or {}),
        )
        channels = self.backbone.channels
        self.pyramid = AggregationPyramid(channels, config.fam_width, config.fam_norm) if config.fam else None
        last = channels[-1] if config.fam else channels[0]
        self.pool = _MeanPool(last) if config.pool == "mean" else _GridPool(last, config.pool_channels)
        self.head = CoefficientHead(self.pool.width, blocks, config.size, config.camera, config.white_light)

    def forward(self, pictures: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of faces in crops framed as :func:`recon.detection.align.align` does.

        Args:
            pictures: ``(B, 3, S, S)`` sRGB code values in [0, 1]; normalisation is inside.
            intrinsics: of the crops, px.

        Raises:
            ValueError: pictures of another size than the network's.
        """
        side = self.config.size
        if tuple(pictures.shape[-2:]) != (side, side):
            raise ValueError(f"this network takes pictures (B, 3, {side}, {side}), got {tuple(pictures.shape)}")
        return self.from_features(self.features(pictures), intrinsics)

    def features(self, pictures: Float[Tensor, "b 3 h w"]) -> Tensor:
        """Pooled features ``(B, C)``."""
        maps = self.backbone(pictures)
        # Without the FAM the coarsest map alone carries the answer, as in classification.
        chosen = self.pyramid(maps)[-1] if self.pyramid is not None else maps[0]
        pooled: Tensor = self.pool(chosen)
        return pooled

    def from_features(self, features: Float[Tensor, "b c"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of pooled features."""
        found: FaceParameters = self.head(features, intrinsics)
        return found


class _MeanPool(nn.Module):
    """Layer norm of the mean over the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = channels
        self.norm = nn.LayerNorm(channels)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        pooled: Tensor = self.norm(maps.mean(dim=(-2, -1)))
        return pooled


class _GridPool(nn.Module):
    """A few channels on a 4 x 4 grid beside the mean of all: features keep their place."""

    _GRID = 4

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, kept, 1)
        self.width = channels + kept * self._GRID**2
        self.norm = nn.LayerNorm(self.width)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Tensor:
        # Interpolation, because adaptive pooling of sizes that 4 does not divide cannot be exported.
        grid = nn.functional.interpolate(
            self.reduce(maps), size=(self._GRID, self._GRID), mode="bilinear", align_corners=False
        )
        joined = torch.cat((maps.mean(dim=(-2, -1)), grid.flatten(1)), dim=1)
        pooled: Tensor = self.norm(joined)
        return pooled
