"""Pose networks as ONNX files, and the way to run one with onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.onnx_file import (
    OnnxNetwork,
    check_pictures,
    check_side,
    compare_on_crops,
    write_onnx,
)
from recon.networks.pose.build import PoseNetwork, PoseNetworkConfig, config_of_text, config_to_text
from recon.networks.pose.prediction import PosePrediction
from recon.networks.pose.sixd import SixdConfig

_INPUT = "crops"
_FORMAT = "facerecon-pose-onnx-1"
_OUTPUTS = ("rotation", "precision_root")


class _Plain(nn.Module):
    """A tensor in, tensors out."""

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        found = self.network(crops)
        root = found.precision_root
        return found.rotation, 0.0 * found.rotation if root is None else root


def export_pose_onnx(network: PoseNetwork, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the network as one ONNX file for crops of its config's size; normalisation is inside.

    Input ``crops`` (B, 3, S, S) sRGB in [0, 1]; outputs ``rotation`` and ``precision_root`` (B, 3, 3), see
    :class:`recon.networks.pose.prediction.PosePrediction`; the latter is zero if the network does not say how sure it is.

    Args:
        network: it is put into evaluation mode.
        path: of the file.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_file`.
    """
    side = network.config.size
    facts = {"format": _FORMAT, "config": config_to_text(network.config)}
    examples = {_INPUT: torch.rand(2, 3, side, side)}
    return write_onnx(path, _Plain(network), examples, _OUTPUTS, facts, overwrite=overwrite)


def _config_of(facts: Mapping[str, str]) -> PoseNetworkConfig:
    config = config_of_text(facts["config"])
    check_side(config.size)
    return config


class OnnxPoseNetwork:
    """A pose network run by onnxruntime; called like the networks of :mod:`recon.networks.pose`.

    Args:
        path: of a file that :func:`export_pose_onnx` wrote.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        config: how the network was built.

    Raises:
        OnnxError: no such file, a damaged one, or another format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self._network = OnnxNetwork(path, "pose network", _FORMAT, (_INPUT,), _OUTPUTS, threads)
        self.config = self._network.described(_config_of)

    @property
    def size(self) -> int:
        """Side of its crops, px."""
        return self.config.size

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> PosePrediction:
        """Rotations in crops in [0, 1], on the CPU.

        Raises:
            ValueError: crops of another size.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        check_pictures(crops, self.config.size)
        shapes = {name: (len(crops), 3, 3) for name in _OUTPUTS}
        found = self._network.run({_INPUT: crops}, shapes)
        return PosePrediction(
            found["rotation"], found["precision_root"] if isinstance(self.config, SixdConfig) else None
        )


def compare_pose_with_torch(
    network: PoseNetwork, path: str | os.PathLike[str], repeats: int = 20
) -> tuple[float, float]:
    """See :func:`recon.networks.onnx_file.compare_on_crops`."""
    exported = OnnxPoseNetwork(path, threads=1)
    return compare_on_crops(network, exported, exported.config.size, _tensors, repeats)


def _tensors(found: PosePrediction) -> dict[str, Tensor]:
    named = {"rotation": found.rotation, "precision_root": found.precision_root}
    return {name: tensor for name, tensor in named.items() if tensor is not None}
