"""Published depth networks behind one interface: a picture in, a map of coded depth out, and the way back to millimetres."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.depth.dense_depth import DenseDepth
from recon.networks.depth.encoders import ENCODERS
from recon.networks.depth.face_depth import FaceDepth
from recon.networks.depth.pini import PiniGenerator
from recon.networks.depth.pix2pix import Pix2PixGenerator
from recon.networks.depth.unet_simple import UNetSimple


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One row of :data:`ARCHITECTURES`.

    Attributes:
        build: makes it; takes ``pretrained``.
        multiple_px: sides of its pictures are multiples of this.
    """

    build: Callable[[bool], nn.Module]
    multiple_px: int


ARCHITECTURES: dict[str, Architecture] = {
    "unet_simple": Architecture(lambda pretrained: UNetSimple(), 16),
    "face_depth": Architecture(FaceDepth, 32),
    **{f"dense_depth_{name}": Architecture(partial(DenseDepth, name), 32) for name in ENCODERS},
    "pini": Architecture(lambda pretrained: PiniGenerator(), 16),
    "pix2pix": Architecture(lambda pretrained: Pix2PixGenerator(), 256),
    "pix2pix_128": Architecture(lambda pretrained: Pix2PixGenerator(steps=7), 128),
}
"""The published networks by name."""


@dataclasses.dataclass(frozen=True)
class DepthCoding:
    """What a number of the map means.

    Attributes:
        kind: ``inverse``, max / z, the target of the depth papers, which gives near things their weight; ``linear``, z / max;
            ``signed``, from -1 at ``min_mm`` to 1 at ``max_mm``, for networks that end in tanh.
        max_mm: the largest depth; farther things are coded as there.
        min_mm: the least depth of ``signed``.
        focal_sides: focal length, in longer sides of the picture, that all pictures are told to have: what has another one is
            moved to where it would look as large. ``None`` codes depth as it is, for data of one camera.

    Raises:
        ValueError: bounds that are none.
    """

    kind: Literal["inverse", "linear", "signed"] = "inverse"
    max_mm: float = 5000.0
    min_mm: float = 0.0
    focal_sides: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("inverse", "linear", "signed"):
            raise ValueError(f"the coding of depth is inverse, linear or signed, got {str(self.kind)[:40]!r}")
        for name in ("max_mm", "min_mm"):
            if type(getattr(self, name)) not in (int, float):
                raise ValueError(f"the coding's {name} must be a number, got {str(getattr(self, name))[:40]!r}")
        if not 0.0 <= self.min_mm < self.max_mm < float("inf"):
            raise ValueError(f"the coding needs 0 <= min_mm < max_mm, got {self.min_mm} and {self.max_mm}")
        if self.focal_sides is not None and not 0.0 < self.focal_sides < float("inf"):
            raise ValueError(f"the coding's focal_sides must be positive, got {self.focal_sides}")

    def encode(self, depth_mm: Float[Tensor, "b 1 h w"], focal_sides: Float[Tensor, " b"]) -> Float[Tensor, "b 1 h w"]:
        """Coded depth; where depth is 0, which is unknown, the code means nothing."""
        z = (depth_mm / self._ratio(focal_sides)).clamp(max(self.min_mm, 1.0), self.max_mm)
        if self.kind == "inverse":
            return self.max_mm / z
        if self.kind == "linear":
            return z / self.max_mm
        return 2.0 * (z - self.min_mm) / (self.max_mm - self.min_mm) - 1.0

    def decode(self, code: Float[Tensor, "b 1 h w"], focal_sides: Float[Tensor, " b"]) -> Float[Tensor, "b 1 h w"]:
        """Depth in mm, in the range that the coding holds."""
        if self.kind == "inverse":
            z = self.max_mm / code.clamp(1.0, self.max_mm)
        elif self.kind == "linear":
            z = self.max_mm * code
        else:
            z = self.min_mm + 0.5 * (self.max_mm - self.min_mm) * (code + 1.0)
        return z.clamp(max(self.min_mm, 1.0), self.max_mm) * self._ratio(focal_sides)

    def _ratio(self, focal_sides: Tensor) -> Tensor:
        """True depth over depth as coded."""
        own = torch.ones_like(focal_sides) if self.focal_sides is None else focal_sides / self.focal_sides
        return own[:, None, None, None]


@dataclasses.dataclass(frozen=True)
class MapDepthConfig:
    """A published network, and the pictures that it is used with.

    Attributes:
        architecture: a key of :data:`ARCHITECTURES`.
        size: (H, W) of its pictures, px.
        coding: of its map.
        pretrained: start from ImageNet, where its encoder can.

    Raises:
        ValueError: an unknown architecture, or a size that it cannot have.
    """

    architecture: str
    size: tuple[int, int] = (480, 640)
    coding: DepthCoding = dataclasses.field(default_factory=DepthCoding)
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(
                f"unknown depth network {str(self.architecture)[:40]!r}; known: {', '.join(ARCHITECTURES)}"
            )
        multiple = ARCHITECTURES[self.architecture].multiple_px
        sides = self.size if isinstance(self.size, tuple) and len(self.size) == 2 else (0, 0)
        if any(type(side) is not int or not multiple <= side <= 4096 or side % multiple for side in sides):
            raise ValueError(
                f"pictures for {self.architecture} have sides (H, W) of multiples of {multiple} up to 4096 px, got {str(self.size)[:40]}"
            )


class MapDepthNetwork(nn.Module):
    """A published network whose map has the size of its picture.

    Args:
        config: which one.

    Raises:
        BackboneError: ImageNet weights cannot be fetched.
    """

    def __init__(self, config: MapDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.body = ARCHITECTURES[config.architecture].build(config.pretrained)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Coded depth of sRGB pictures in [0, 1]; smaller maps are grown bilinearly."""
        code: Tensor = self.body(pictures).float()
        if code.shape[-2:] == pictures.shape[-2:]:
            return code
        return nn.functional.interpolate(code, size=pictures.shape[-2:], mode="bilinear", align_corners=False)

    def depth_mm(
        self, pictures: Float[Tensor, "b 3 h w"], focal_sides: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 1 h w"]:
        """Planar depth; ``focal_sides`` are focal lengths in longer sides of the pictures."""
        return self.config.coding.decode(self(pictures), focal_sides)
