"""Weights of sync networks on disk."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.network_file import CheckpointError, NetworkFile, known_values
from recon.networks.sync_network import SyncConfig, SyncNetwork

_KIND = "sync network"


def save_sync_network(
    path: str | os.PathLike[str],
    network: SyncNetwork,
    meaning: str,
    metrics: Mapping[str, float],
    extra: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        meaning: of the voice that it hears, see :func:`recon.dubbing.voices.voice_meaning`.
        metrics: what it reaches.
        extra: anything else worth knowing.
        dtype: of the weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, {"meaning": meaning, **(extra or {})}, dtype)


def load_sync_network(path: str | os.PathLike[str], meaning: str) -> tuple[SyncNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or it hears another kind of voice.
    """

    def check(_: SyncConfig, header: dict[str, str]) -> None:
        if header.get("meaning") != meaning:
            raise CheckpointError(
                f"{path} was trained for another kind of voice than this version hears; train it again"
            )

    return FILE.load(path, check)


FILE: NetworkFile[SyncConfig, SyncNetwork] = NetworkFile(
    "facerecon-sync-1",
    _KIND,
    lambda network: {"config": json.dumps(dataclasses.asdict(network.config))},
    lambda header: SyncConfig(**known_values(json.loads(header["config"]), SyncConfig, _KIND)),
    SyncNetwork,
)
