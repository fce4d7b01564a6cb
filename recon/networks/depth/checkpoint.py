"""Weights of depth networks on disk: their family and config are in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.depth.crop_depth import CropDepthConfig, CropDepthNetwork
from recon.networks.depth.map_depth import DepthCoding, MapDepthConfig, MapDepthNetwork
from recon.networks.network_file import NetworkFile, known_values

DepthConfig = CropDepthConfig | MapDepthConfig
DepthNetwork = CropDepthNetwork | MapDepthNetwork
_KIND = "depth network"
_FAMILIES: dict[str, type[DepthConfig]] = {"crop": CropDepthConfig, "map": MapDepthConfig}


def depth_network(config: DepthConfig) -> DepthNetwork:
    """A new network.

    Raises:
        BackboneError: ImageNet weights cannot be fetched.
    """
    return CropDepthNetwork(config) if isinstance(config, CropDepthConfig) else MapDepthNetwork(config)


def save_depth_network(
    path: str | os.PathLike[str],
    network: DepthNetwork,
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


def load_depth_network(path: str | os.PathLike[str]) -> tuple[DepthNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`.
    """
    return FILE.load(path)


def crop_config_of(text: str) -> CropDepthConfig:
    """The config of our network from the JSON that its files hold.

    Raises:
        ValueError, TypeError, RecursionError: it makes no sense.
    """
    return CropDepthConfig(**{**known_values(json.loads(text), CropDepthConfig, _KIND), "pretrained": False})


def _describe(network: DepthNetwork) -> dict[str, str]:
    family = next(name for name, kind in _FAMILIES.items() if isinstance(network.config, kind))
    return {"family": family, "config": json.dumps(dataclasses.asdict(network.config))}


def _config_of(header: Mapping[str, str]) -> DepthConfig:
    family = header["family"]
    if family not in _FAMILIES:
        raise ValueError(f"unknown family of depth networks {family[:40]!r}; known: {', '.join(_FAMILIES)}")
    if family == "crop":
        return crop_config_of(header["config"])
    values = known_values(json.loads(header["config"]), MapDepthConfig, _KIND)
    coding = DepthCoding(**known_values(values.get("coding", {}), DepthCoding, _KIND))
    return MapDepthConfig(**{**values, "coding": coding, "size": tuple(values["size"]), "pretrained": False})


FILE: NetworkFile[DepthConfig, DepthNetwork] = NetworkFile(
    "facerecon-depth-1", _KIND, _describe, _config_of, depth_network
)
