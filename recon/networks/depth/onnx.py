"""Our depth network as an ONNX file, and the way to run one with onnxruntime."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.depth.checkpoint import FILE, crop_config_of
from recon.networks.depth.crop_depth import CLASSES, CropDepthConfig, CropDepthNetwork, CropDepthPrediction
from recon.networks.onnx_file import (
    OnnxNetwork,
    check_pictures,
    check_side,
    compare_on_crops,
    write_onnx,
)

OUTPUTS = tuple(field.name for field in dataclasses.fields(CropDepthPrediction))
_INPUT = "crops"
_FORMAT = "facerecon-depth-onnx-1"
_CHANNELS = {"relief": 1, "log_sigma": 1, "normals": 3, "classes": len(CLASSES)}
"""Of the outputs that are maps; the others are one number a crop."""


class _Plain(nn.Module):
    """A tensor in, tensors out."""

    def __init__(self, network: CropDepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(self.network(crops)).values())


def _tensors(prediction: CropDepthPrediction) -> dict[str, Tensor]:
    return {name: getattr(prediction, name) for name in OUTPUTS}


def is_depth_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a depth network."""
    return FILE.holds(path)


def export_depth_onnx(network: CropDepthNetwork, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the network as one ONNX file for crops of its config's size; normalisation is inside.

    Input ``crops`` (B, 3, S, S) sRGB in [0, 1]; outputs are those of
    :class:`recon.networks.depth.crop_depth.CropDepthPrediction`.

    Args:
        network: it is put into evaluation mode.
        path: of the file.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_file`.
    """
    side = network.config.size
    facts = {"format": _FORMAT, **FILE.describe(network)}
    return write_onnx(
        path, _Plain(network), {_INPUT: torch.rand(2, 3, side, side)}, OUTPUTS, facts, overwrite=overwrite
    )


def _config_of(facts: Mapping[str, str]) -> CropDepthConfig:
    config = crop_config_of(facts["config"])
    check_side(config.size)
    return config


class OnnxDepthNetwork:
    """Our depth network run by onnxruntime; called like :class:`recon.networks.depth.crop_depth.CropDepthNetwork`.

    Args:
        path: of a file that :func:`export_depth_onnx` wrote.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        config: how the network was built.

    Raises:
        OnnxError: no such file, a damaged one, or another format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self._network = OnnxNetwork(path, "depth network", _FORMAT, (_INPUT,), OUTPUTS, threads)
        self.config = self._network.described(_config_of)

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> CropDepthPrediction:
        """Depth of crops in [0, 1], on the CPU.

        Raises:
            ValueError: crops of another size.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        check_pictures(crops, self.config.size)
        count, side = len(crops), self.config.size
        shapes = {
            name: (count, _CHANNELS[name], side, side) if name in _CHANNELS else (count,) for name in OUTPUTS
        }  # fmt: skip
        return CropDepthPrediction(**self._network.run({_INPUT: crops}, shapes))


def compare_depth_with_torch(
    network: CropDepthNetwork, path: str | os.PathLike[str], repeats: int = 20
) -> tuple[float, float]:
    """See :func:`recon.networks.onnx_file.compare_on_crops`."""
    exported = OnnxDepthNetwork(path, threads=1)
    return compare_on_crops(network, exported, exported.config.size, _tensors, repeats)
