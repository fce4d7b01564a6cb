"""Landmark networks as ONNX files, and the way to run one with onnxruntime."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.landmark_checkpoint import FILE, config_of_text
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, LandmarkPrediction
from recon.networks.onnx_file import (
    OnnxNetwork,
    check_pictures,
    check_side,
    compare_on_crops,
    write_onnx,
)

OUTPUTS = tuple(field.name for field in dataclasses.fields(LandmarkPrediction))
_INPUT = "crops"
_FORMAT = "facerecon-landmarks-onnx-1"


class _Plain(nn.Module):
    """A tensor in, tensors out."""

    def __init__(self, network: LandmarkNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        found = _tensors(self.network(crops))
        if self.network.config.head == "direct":
            # All but the points is constant, and would be written for the number of crops in the example.
            none = 0.0 * found["points"][..., 0]
            found = {name: value if name == "points" else value[:1] + none for name, value in found.items()}
        return tuple(found.values())


def _tensors(prediction: LandmarkPrediction) -> dict[str, Tensor]:
    return {name: getattr(prediction, name) for name in OUTPUTS}


def export_landmark_onnx(
    network: LandmarkNetwork, fingerprint: str, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the network as one ONNX file for crops of its config's size; normalisation is inside.

    Input ``crops`` (B, 3, S, S) sRGB in [0, 1]; outputs are those of
    :class:`recon.networks.landmark_network.LandmarkPrediction`.

    Args:
        network: it is put into evaluation mode.
        fingerprint: what its points mean, see :func:`recon.networks.landmark_checkpoint.landmark_fingerprint`.
        path: of the file.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_file`.
    """
    side = network.config.size
    facts = {"format": _FORMAT, **FILE.describe(network), "landmarks": fingerprint}
    examples = {_INPUT: torch.rand(2, 3, side, side)}
    return write_onnx(path, _Plain(network), examples, OUTPUTS, facts, overwrite=overwrite)


def _described(facts: Mapping[str, str]) -> tuple[LandmarkNetworkConfig, str]:
    config = config_of_text(facts["config"])
    check_side(config.size)
    return config, facts["landmarks"]


class OnnxLandmarkNetwork:
    """A landmark network run by onnxruntime; called like :class:`recon.networks.landmark_network.LandmarkNetwork`.

    Args:
        path: of a file that :func:`export_landmark_onnx` wrote.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        config: how the network was built.
        fingerprint: what its points mean.

    Raises:
        OnnxError: no such file, a damaged one, or another format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self._network = OnnxNetwork(path, "landmark network", _FORMAT, (_INPUT,), OUTPUTS, threads)
        self.config, self.fingerprint = self._network.described(_described)

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> LandmarkPrediction:
        """Points of crops in [0, 1], on the CPU.

        Raises:
            ValueError: crops of another size.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        check_pictures(crops, self.config.size)
        flat = (len(crops), self.config.n_points)
        shapes = {name: (*flat, 3) if name == "points" else flat for name in OUTPUTS}
        return LandmarkPrediction(**self._network.run({_INPUT: crops}, shapes))


def compare_landmarks_with_torch(
    network: LandmarkNetwork, path: str | os.PathLike[str], repeats: int = 20
) -> tuple[float, float]:
    """See :func:`recon.networks.onnx_file.compare_on_crops`."""
    exported = OnnxLandmarkNetwork(path, threads=1)
    return compare_on_crops(network, exported, exported.config.size, _tensors, repeats)
