"""Weights of identity networks on disk."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.identity_network import (
    AnyIdentityNetwork,
    IdentityConfig,
    build_identity_network,
    config_of_network,
)
from recon.networks.network_file import NetworkFile, known_values

_KIND = "identity network"
DEFAULT_IDENTITY_NETWORK = Path(__file__).parent / "weights" / "identity_open.safetensors"
"""Of the package: trained on drawn people alone."""


def save_identity_network(
    path: str | os.PathLike[str],
    network: AnyIdentityNetwork,
    metrics: Mapping[str, float],
    extra: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        metrics: what it reaches.
        extra: anything else worth knowing.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, extra, dtype)


def load_identity_network(
    path: str | os.PathLike[str] = DEFAULT_IDENTITY_NETWORK,
) -> tuple[AnyIdentityNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`.
    """
    return FILE.load(path)


FILE: NetworkFile[IdentityConfig, AnyIdentityNetwork] = NetworkFile(
    "facerecon-identity-1",
    _KIND,
    lambda network: {"config": json.dumps(dataclasses.asdict(config_of_network(network)))},
    lambda header: IdentityConfig(**known_values(json.loads(header["config"]), IdentityConfig, _KIND)),
    build_identity_network,
)
