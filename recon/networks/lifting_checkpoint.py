"""Weights of lifting networks on disk: the config, the face model and the landmarks are in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from recon.networks.head import FaceBlocks
from recon.networks.lifting_network import LiftingNetwork, LiftingNetworkConfig
from recon.networks.network_file import CheckpointError, NetworkFile, known_values
from recon.networks.served_model import check_serves

_KIND = "lifting network"


def save_lifting_network(
    path: str | os.PathLike[str],
    network: LiftingNetwork,
    fingerprint: str,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        fingerprint: what its points mean, see :func:`recon.networks.landmark_checkpoint.landmark_fingerprint`.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, {"landmarks": fingerprint, **(extra or {})}, dtype)


def load_lifting_network(
    path: str | os.PathLike[str], blocks: FaceBlocks | None = None, fingerprint: str | None = None
) -> tuple[LiftingNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_lifting_network` wrote.
        blocks: of the face model that it must give; ``None`` takes any.
        fingerprint: what its points must mean; ``None`` takes any.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or another face model or other points.
    """

    def check(found: tuple[LiftingNetworkConfig, FaceBlocks], header: dict[str, str]) -> None:
        if blocks is not None:
            check_serves(path, found[1], blocks)
        if fingerprint is not None:
            check_lifted_landmarks(path, header.get("landmarks"), fingerprint)

    return FILE.load(path, check)


def is_lifting_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a lifting network."""
    return FILE.holds(path)


def check_lifted_landmarks(path: str | os.PathLike[str], found: str | None, wanted: str) -> None:
    """Refuse a network of other landmarks than those that :func:`recon.networks.landmark_checkpoint.landmark_fingerprint` tells of.

    Raises:
        CheckpointError: ``found``, of the file, is not ``wanted``.
    """
    if found != wanted:
        raise CheckpointError(
            f"{path} was trained for other landmarks (fingerprint {found!r}) than those of the face model in use ({wanted!r}): train "
            "it again, or use the model that it was trained for"
        )


def config_of_text(text: str) -> LiftingNetworkConfig:
    """The config of a network from the JSON that its files hold.

    Raises:
        ValueError, TypeError, RecursionError: it makes no sense.
    """
    values = known_values(json.loads(text), LiftingNetworkConfig, _KIND)
    sets = values.get("point_sets", [])
    if not isinstance(sets, list) or not all(isinstance(name, str) for name in sets):
        raise ValueError("point_sets must be a list of names")
    return LiftingNetworkConfig(**{**values, "point_sets": tuple(sets)})


def _describe(network: LiftingNetwork) -> dict[str, str]:
    return {
        "config": json.dumps(dataclasses.asdict(network.config)),
        "blocks": json.dumps(network.face_blocks.to_dict()),
    }


def _config_of(header: Mapping[str, str]) -> tuple[LiftingNetworkConfig, FaceBlocks]:
    return config_of_text(header["config"]), FaceBlocks.of_dict(json.loads(header["blocks"]))


FILE: NetworkFile[tuple[LiftingNetworkConfig, FaceBlocks], LiftingNetwork] = NetworkFile(
    "facerecon-lifting-1", _KIND, _describe, _config_of, lambda parts: LiftingNetwork(*parts)
)
