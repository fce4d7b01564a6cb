"""Weights of pose networks on disk: the config, which tells their kind, is in the header."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from recon.networks.network_file import CheckpointError, NetworkFile
from recon.networks.pose.build import (
    PoseNetwork,
    PoseNetworkConfig,
    build_pose_network,
    config_of_text,
    config_to_text,
)


def save_pose_network(
    path: str | os.PathLike[str],
    network: PoseNetwork,
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


def load_pose_network(path: str | os.PathLike[str], kind: str | None = None) -> tuple[PoseNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_pose_network` wrote.
        kind: which network it must be, one of :data:`recon.networks.pose.build.KINDS`; ``None`` takes any.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or another kind.
    """

    def check(config: PoseNetworkConfig, header: dict[str, str]) -> None:
        if kind is not None:
            check_kind(path, config, kind)

    return FILE.load(path, check)


def is_pose_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a pose network."""
    return FILE.holds(path)


def check_kind(path: str | os.PathLike[str], config: PoseNetworkConfig, wanted: str) -> None:
    """Refuse a network of another kind than the one asked for.

    Raises:
        CheckpointError: it is another.
    """
    if config.kind != wanted:
        raise CheckpointError(
            f"{path} is a pose network of the kind {config.kind}, {wanted} is asked for: name the kind {config.kind}, or a "
            f"checkpoint of a {wanted}"
        )


FILE: NetworkFile[PoseNetworkConfig, PoseNetwork] = NetworkFile(
    "facerecon-pose-1",
    "pose network",
    lambda network: {"config": config_to_text(network.config)},
    lambda header: config_of_text(header["config"]),
    build_pose_network,
)
