"""The dense landmark network: a crop in, points out, each with its depth, its uncertainty and whether it is seen.

Two heads:

- ``direct`` is that of the dissertation's dense landmarks: pooled features, one linear layer, three numbers a point.
- ``local`` (ours) first places all points from pooled features, through a bottleneck that acts like a shape model; then
  each point reads the features at the very place where it stands and corrects itself, several times. What is seen at a
  point decides where it lies, so that the errors of neighbours depend on each other little. Each correction also gives the
  standard deviation of what is left (Wood et al. 2022, "3D face reconstruction with dense landmarks", Eq. 1).

Both are convolutions and products of small matrices only, so they run at any size of crop and in onnxruntime.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.backbones import BACKBONES, Backbone
from recon.networks.precision import full_precision

POINT_SETS = ("520", "478", "68")
_GRID = 4
_LOG_SIGMA = (-7.0, 0.0)
"""Bounds of a sigma's logarithm: 0.1 % of the crop's side, and all of it."""


@dataclasses.dataclass(frozen=True)
class LandmarkNetworkConfig:
    """How a landmark network is built.

    Attributes:
        backbone: a key of :data:`recon.networks.backbones.BACKBONES`.
        size: side of the crop that it is used at, px.
        point_sets: the sets whose points it gives, one after the other; each is named by the number of its points.
        head: ``local`` or ``direct``, see the module.
        width: channels of the features that points read.
        bottleneck: numbers through which the first places of all points go.
        corrections: how often points read and correct themselves.
        pretrained: start from ImageNet.
    """

    backbone: str = "mobilenetv4_small"
    size: int = 160
    point_sets: tuple[str, ...] = ("520", "478")
    head: Literal["local", "direct"] = "local"
    width: int = 64
    bottleneck: int = 160
    corrections: int = 2
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {str(self.backbone)[:40]!r}; known: {', '.join(BACKBONES)}")
        if self.head not in ("local", "direct"):
            raise ValueError(f"the head of a landmark network is 'local' or 'direct', got {str(self.head)[:40]!r}")
        if not self.point_sets or not set(self.point_sets) <= set(POINT_SETS):
            raise ValueError(f"point_sets must be some of {', '.join(POINT_SETS)}, got {str(self.point_sets)[:80]}")
        limits = {"size": 2048, "width": 1024, "bottleneck": 4096, "corrections": 8}
        for name, most in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {str(value)[:40]!r}")

    @property
    def n_points(self) -> int:
        """Of all sets."""
        return sum(int(name) for name in self.point_sets)


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkPrediction:
    """Points of B crops, in shares of the crop's side: (0, 0) is its middle, x right, y down; +-0.5 its borders.

    Attributes:
        points: ``(B, N, 3)`` x, y, and depth in the same unit, as seen under weak perspective: 0 at the head's origin,
            growing along the ray from the camera.
        log_sigma: ``(B, N)`` logarithm of the standard deviation of x and of y.
        log_sigma_depth: ``(B, N)`` of the depth.
        visible: ``(B, N)`` logits: is the point seen, inside the crop and not hidden?
    """

    points: Float[Tensor, "b n 3"]
    log_sigma: Float[Tensor, "b n"]
    log_sigma_depth: Float[Tensor, "b n"]
    visible: Float[Tensor, "b n"]


class LandmarkNetwork(nn.Module):
    """Crops in, points out.

    Args:
        config: how it is built.
        **options: for the backbone, see :class:`recon.networks.backbones.Backbone`.

    Raises:
        BackboneError: see there.

    Attributes:
        mean_points: ``(N, 3)`` where points lie on average, to which the placement adds.
    """

    mean_points: Float[Tensor, "n 3"]

    def __init__(self, config: LandmarkNetworkConfig, **options: Any) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, config.size, pretrained=config.pretrained, **options)
        self.register_buffer("mean_points", torch.zeros(config.n_points, 3))
        channels = self.backbone.channels
        self.placement: nn.Module
        if config.head == "direct":
            self.placement = _DirectPlacement(channels[0], config.n_points)
            return
        self.placement = _GridPlacement(channels[0], config.bottleneck, config.n_points)
        self.pyramid = FeaturePyramid(channels, config.width)
        self.correction = _LocalCorrection(config.width, config.n_points)

    def start_from(self, mean_points: Float[Tensor, "n 3"]) -> None:
        """Take the points' mean of a training set for :attr:`mean_points`.

        Raises:
            ValueError: another number of points.
        """
        if mean_points.shape != self.mean_points.shape:
            raise ValueError(
                f"mean points must have shape {tuple(self.mean_points.shape)}, got {tuple(mean_points.shape)}"
            )
        self.mean_points.copy_(mean_points)

    def forward(self, crops: Float[Tensor, "b 3 h w"]) -> LandmarkPrediction:
        """The last and best answer."""
        return self.stages(crops)[-1]

    def stages(self, crops: Float[Tensor, "b 3 h w"]) -> list[LandmarkPrediction]:
        """The answer after the placement and after every correction, for training.

        Args:
            crops: ``(B, 3, S, S)`` sRGB code values in [0, 1]; normalisation is inside.
        """
        maps = self.backbone(crops)
        fine = None if self.config.head == "direct" else self.pyramid(maps)
        # The few bits of a half are no place for a point: under autocast, places and corrections stay in float32.
        with full_precision(crops.device.type):
            return self._placed(maps[0].float(), None if fine is None else fine.float())

    def _placed(self, coarsest: Tensor, fine: Tensor | None) -> list[LandmarkPrediction]:
        placed: Tensor = self.placement(coarsest) + self.mean_points
        unsure = torch.full_like(placed[..., 0], -2.0)
        answers = [LandmarkPrediction(placed, unsure, unsure, torch.zeros_like(unsure))]
        if fine is None:
            return answers
        for _ in range(self.config.corrections):
            # Where to read is no way for the gradient: each answer is judged for itself.
            at = answers[-1].points.detach()
            found = self.correction(read_at(fine, at[..., :2]))
            answers.append(
                LandmarkPrediction(
                    at + found[..., :3],
                    found[..., 3].clamp(*_LOG_SIGMA),
                    found[..., 4].clamp(*_LOG_SIGMA),
                    found[..., 5],
                )
            )
        return answers


def read_at(maps: Float[Tensor, "b c h w"], places: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n c"]:
    """Features at places (shares of the side, middle at 0), bilinear; beyond the border its values go on."""
    if torch.onnx.is_in_onnx_export():
        return _read_rows(maps, places)
    read = nn.functional.grid_sample(
        maps, 2.0 * places[:, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return read[:, :, 0].transpose(1, 2)


def _read_rows(maps: Tensor, places: Tensor) -> Tensor:
    """:func:`read_at` for onnxruntime, which finds a place anew for every channel and is half as fast with GridSample."""
    batch = maps.shape[0]
    channels, height, width = (int(side) for side in maps.shape[1:])  # of the crop, which is the file's own
    last = torch.tensor([width - 1, height - 1], dtype=maps.dtype)
    at = torch.minimum(((places + 0.5) * (last + 1.0) - 0.5).clamp_min(0.0), last)
    corner = torch.minimum(at.floor(), last - 1.0)  # the next column and row exist
    right, down = (at - corner)[..., None].unbind(-2)
    column, row = corner.long().unbind(-1)
    index = (torch.arange(batch)[:, None] * (height * width) + row * width + column).flatten()
    rows = maps.flatten(2).transpose(1, 2).reshape(-1, channels)

    def features(step: int) -> Tensor:
        return rows.index_select(0, index + step).view(batch, -1, channels)

    above = features(0) * (1.0 - right) + features(1) * right
    below = features(width) * (1.0 - right) + features(width + 1) * right
    return above * (1.0 - down) + below * down


class FeaturePyramid(nn.Module):
    """Top-down pyramid (Lin et al. 2017) of depth-wise separable convolutions: ``width`` channels at the finest map."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.blocks = nn.ModuleList(_separable(width) for _ in channels[1:])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The finest map, of maps with the coarsest first."""
        merged: Tensor = self.lateral[0](maps[0])
        for lateral, block, finer in zip(self.lateral[1:], self.blocks, maps[1:], strict=True):
            grown = nn.functional.interpolate(merged, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            merged = block(lateral(finer) + grown)
        return merged


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class _DirectPlacement(nn.Module):
    """Mean over the picture, one linear layer."""

    def __init__(self, channels: int, n_points: int) -> None:
        super().__init__()
        self.points = nn.Linear(channels, 3 * n_points)

    def forward(self, coarsest: Float[Tensor, "b c h w"]) -> Tensor:
        found: Tensor = self.points(coarsest.mean(dim=(-2, -1))).unflatten(1, (-1, 3))
        return found


class _GridPlacement(nn.Module):
    """The mean and a 4 x 4 grid of few channels, through a bottleneck."""

    def __init__(self, channels: int, bottleneck: int, n_points: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, 64, 1)
        self.mix = nn.Sequential(nn.Linear(channels + 64 * _GRID**2, bottleneck), nn.LayerNorm(bottleneck), nn.GELU())
        self.points = nn.Linear(bottleneck, 3 * n_points)
        nn.init.normal_(self.points.weight, std=0.01)
        nn.init.zeros_(self.points.bias)

    def forward(self, coarsest: Float[Tensor, "b c h w"]) -> Tensor:
        # Interpolation, because adaptive pooling of sizes that 4 does not divide cannot be exported.
        grid = nn.functional.interpolate(
            self.reduce(coarsest), size=(_GRID, _GRID), mode="bilinear", align_corners=False
        )
        mixed = self.mix(torch.cat((coarsest.mean(dim=(-2, -1)), grid.flatten(1)), dim=1))
        found: Tensor = self.points(mixed).unflatten(1, (-1, 3))
        return found


class _LocalCorrection(nn.Module):
    """Features read at a point -> its correction (x, y, depth), two log sigmas and a logit of visibility.

    The layers between are shared; what a point looks for is its own embedding, what it makes of it its own linear layer.
    """

    _HIDDEN, _OUTPUTS = 64, 6

    def __init__(self, channels: int, n_points: int) -> None:
        super().__init__()
        hidden = self._HIDDEN
        self.embed = nn.Parameter(0.1 * torch.randn(n_points, hidden))
        self.first = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.second = nn.Linear(hidden, hidden)
        self.weight = nn.Parameter(0.01 * torch.randn(n_points, self._OUTPUTS, hidden))
        self.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, -3.0, -3.0, 0.0]).repeat(n_points, 1))

    def forward(self, read: Float[Tensor, "b n c"]) -> Float[Tensor, "b n 6"]:
        hidden = torch.relu(self.norm(self.first(read) + self.embed))
        hidden = hidden + torch.relu(self.second(hidden))
        if (
            torch.onnx.is_in_onnx_export()
        ):  # for onnxruntime, in which a product of matrices costs more than its numbers
            return (hidden[:, :, None] * self.weight).sum(dim=-1) + self.bias
        # (N, B, H) x (N, H, 6): one small product a point.
        found = torch.bmm(hidden.transpose(0, 1), self.weight.transpose(1, 2)).transpose(0, 1)
        return found + self.bias
