"""Weights of speech networks on disk: the config, the features and the meaning of the outputs are in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.network_file import CheckpointError, NetworkFile, known_values
from recon.networks.speech_network import SpeechNetwork, SpeechNetworkConfig

_KIND = "speech network"


def save_speech_network(
    path: str | os.PathLike[str],
    network: SpeechNetwork,
    meaning: str,
    metrics: Mapping[str, float],
    extra: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        meaning: of its features and outputs, which a reader compares with its own.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, {"meaning": meaning, **(extra or {})}, dtype)


def load_speech_network(path: str | os.PathLike[str], meaning: str) -> tuple[SpeechNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_speech_network` wrote.
        meaning: that its features and outputs must have.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or another meaning.
    """

    def check(_: SpeechNetworkConfig, header: dict[str, str]) -> None:
        if header.get("meaning") != meaning:
            raise CheckpointError(
                f"{path} was trained for other features or articulators ({header.get('meaning')!r}) than those in use ({meaning!r}): "
                "train it again"
            )

    return FILE.load(path, check)


def _describe(network: SpeechNetwork) -> dict[str, str]:
    return {"config": json.dumps(dataclasses.asdict(network.config))}


def _config_of(header: Mapping[str, str]) -> SpeechNetworkConfig:
    values = known_values(json.loads(header["config"]), SpeechNetworkConfig, _KIND)
    dilations = values.get("dilations", [])
    if not isinstance(dilations, list):
        raise ValueError("dilations must be a list of whole numbers")
    return SpeechNetworkConfig(**{**values, "dilations": tuple(dilations)} if dilations else values)


FILE: NetworkFile[SpeechNetworkConfig, SpeechNetwork] = NetworkFile(
    "facerecon-speech-1", _KIND, _describe, _config_of, SpeechNetwork
)
