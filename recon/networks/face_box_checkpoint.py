"""Weights of face box networks on disk: the config is in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.face_box_network import FaceBoxNetwork, FaceBoxNetworkConfig
from recon.networks.network_file import NetworkFile, known_values

_KIND = "face box network"


def save_face_box_network(
    path: str | os.PathLike[str],
    network: FaceBoxNetwork,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, extra, dtype)


def load_face_box_network(path: str | os.PathLike[str]) -> tuple[FaceBoxNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`.
    """
    return FILE.load(path)


def _config_of(header: Mapping[str, str]) -> FaceBoxNetworkConfig:
    values = known_values(json.loads(header["config"]), FaceBoxNetworkConfig, _KIND)
    low, high = values.get("face_px", (12.0, 110.0))
    return FaceBoxNetworkConfig(**{**values, "face_px": (float(low), float(high)), "pretrained": False})


FILE: NetworkFile[FaceBoxNetworkConfig, FaceBoxNetwork] = NetworkFile(
    "facerecon-face-boxes-1",
    _KIND,
    lambda network: {"config": json.dumps(dataclasses.asdict(network.config))},
    _config_of,
    FaceBoxNetwork,
)
