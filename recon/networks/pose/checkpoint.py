"""Weights of pose networks on disk: safetensors with the config and the metrics in the header."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save

from recon.io.files import write_file
from recon.networks.checkpoint import (
    CheckpointError,
    check_shapes,
    ordered,
    read_header,
    read_weights,
    shapes_of,
    stored_weights,
)
from recon.networks.pose.build import (
    PoseNetwork,
    PoseNetworkConfig,
    build_pose_network,
    config_of_text,
    config_to_text,
)

FORMAT = "facerecon-pose-1"


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
        network: normalisation is part of its weights.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit, what it was adapted to.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    header = {
        "format": FORMAT,
        "config": config_to_text(network.config),
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(stored_weights(network, dtype), metadata=header)), overwrite=True)


def load_pose_network(path: str | os.PathLike[str], kind: str | None = None) -> tuple[PoseNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_pose_network` wrote.
        kind: which network it must be, one of :data:`recon.networks.pose.build.KINDS`; ``None`` takes any.

    Raises:
        CheckpointError: no such file, a damaged one, one of another kind, or header and weights that do not make a network.
    """
    place = Path(path)
    header = read_header(place, FORMAT, "pose network")
    config = _config(place, header)
    if kind is not None:
        check_kind(place, config, kind)
    try:
        check_shapes(place, shapes_of(lambda: build_pose_network(config)))
        network = build_pose_network(config)
        network.load_state_dict(read_weights(place), strict=True)
    except CheckpointError:
        raise
    # Tensors of types that torch does not know, and whatever timm raises for configs of other versions.
    except Exception as error:
        raise CheckpointError(f"the weights in {place} do not fit its own config: {error}") from error
    return network.eval(), header


def is_pose_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a pose network; of files that cannot be read, False: whoever loads them says
    what is wrong."""
    try:
        read_header(Path(path), FORMAT, "pose network")
    except CheckpointError:
        return False
    return True


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


def _config(place: Path, header: dict[str, str]) -> PoseNetworkConfig:
    try:
        return config_of_text(header["config"])
    except KeyError as error:
        raise CheckpointError(f"the header of {place} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {place} makes no sense: {error}") from error
