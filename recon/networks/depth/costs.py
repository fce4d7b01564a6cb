"""Parameters and multiply-adds of the depth networks beside those that their papers print."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from recon.networks.complexity import counted
from recon.networks.depth.crop_depth import CropDepthConfig, CropDepthNetwork
from recon.networks.depth.dense_depth import DenseDepth
from recon.networks.depth.encoders import ENCODERS
from recon.networks.depth.face_depth import FaceDepth
from recon.networks.depth.pini import SIDE_PX, PiniDiscriminator, PiniGenerator
from recon.networks.depth.pix2pix import PatchDiscriminator, Pix2PixGenerator
from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.depth.unet_simple import UNetSimple

_PRINTED = {"densenet169": (42.6, 66.12), "resnet50": (68.0, 101.27), "efficientnet_b7": (80.4, 113.44)}
_PHOTO = (3, 480, 640)


@dataclasses.dataclass(frozen=True)
class DepthRow:
    """One network.

    Attributes:
        label: its name.
        build: makes it.
        inputs: ``(C, H, W)`` of each.
        parameters_m: millions, as printed; ``None`` where nothing is.
        gmac: 10^9 multiply-adds, as printed.
        paper: whether it is published; otherwise it is ours.
    """

    label: str
    build: Callable[[], nn.Module]
    inputs: tuple[tuple[int, int, int], ...]
    parameters_m: float | None = None
    gmac: float | None = None
    paper: bool = True


def _dense(name: str) -> DepthRow:
    return DepthRow(f"DenseDepth, {name}", partial(DenseDepth, name), (_PHOTO,), *_PRINTED.get(name, (None, None)))


_SMALL, _MAP = (3, SIDE_PX, SIDE_PX), (1, SIDE_PX, SIDE_PX)

DEPTH_ROWS: tuple[DepthRow, ...] = (
    DepthRow("UNet-simple", UNetSimple, (_PHOTO,), 17.27, 188.04),
    DepthRow("FaceDepth", FaceDepth, (_PHOTO,), 14.42, 16.41),
    *(_dense(name) for name in ENCODERS),
    DepthRow("Pini: generator, auto-encoder", PiniGenerator, (_SMALL,)),
    DepthRow("Pini: discriminator", PiniDiscriminator, (_MAP,)),
    DepthRow("Pini: Siamese verifier", SiameseVerifier, (_MAP, _MAP)),
    DepthRow("pix2pix: generator", Pix2PixGenerator, ((3, 256, 256),)),
    DepthRow("pix2pix: patches of 70 px", PatchDiscriminator, ((3, 256, 256), (1, 256, 256))),
    DepthRow(
        "our depth of face crops", lambda: CropDepthNetwork(CropDepthConfig()), ((3, 256, 256),), paper=False
    ),
)  # fmt: skip

DEPTH_FOOTNOTE = (
    "Depth networks: the papers count GMac at 640 x 480, norms, biases, rectifiers and growing with them, and here convolutions and "
    "products of matrices count alone (187.4 of UNet-simple's 188.0). FaceDepth's printed 14.42 M hold ImageNet's classifier of 1.28 M, "
    "which it does not use. DenseDepth-169 has its 42.6 M; its printed 66.12 GMac, and what is printed for ResNet-50 and "
    "EfficientNet-B7, are not explained. Pini et al. print no sizes."
)
"""Why the columns differ."""


def depth_complexity(row: DepthRow) -> tuple[float, float]:
    """Millions of parameters, and 10^9 multiply-adds of one picture; see :func:`recon.networks.complexity.complexity`."""
    with torch.device("meta"):
        return counted(row.build(), *(torch.zeros(1, *shape) for shape in row.inputs))
