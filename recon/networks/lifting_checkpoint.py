"""Weights of lifting networks on disk: safetensors with the config, the face model and the landmarks in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from recon.io.files import write_file
from recon.networks.checkpoint import (
    CheckpointError,
    check_serves,
    check_shapes,
    ordered,
    read_header,
    read_weights,
    shapes_of,
    stored_weights,
)
from recon.networks.head import FaceBlocks
from recon.networks.lifting_network import LiftingNetwork, LiftingNetworkConfig

FORMAT = "facerecon-lifting-1"


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
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    header = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(network.config)),
        "blocks": json.dumps(network.face_blocks.to_dict()),
        "landmarks": fingerprint,
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(stored_weights(network, dtype), metadata=header)), overwrite=True)


def load_lifting_network(
    path: str | os.PathLike[str], blocks: FaceBlocks | None = None, fingerprint: str | None = None
) -> tuple[LiftingNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_lifting_network` wrote.
        blocks: of the face model that it must give; ``None`` takes any.
        fingerprint: what its points must mean; ``None`` takes any.

    Raises:
        CheckpointError: no such file, a damaged one, another format, another face model or other points, or header and weights that
            do not make a network.
    """
    place = Path(path)
    header = read_header(place, FORMAT, "lifting network")
    config, found = _described(place, header)
    if blocks is not None:
        check_serves(place, found, blocks)
    if fingerprint is not None:
        check_lifted_landmarks(place, header.get("landmarks"), fingerprint)
    try:
        check_shapes(place, shapes_of(lambda: LiftingNetwork(config, found)))
        network = LiftingNetwork(config, found)
        network.load_state_dict(read_weights(place), strict=True)
    except CheckpointError:
        raise
    # Tensors of types that torch does not know.
    except Exception as error:
        raise CheckpointError(f"the weights in {place} do not fit its own config: {error}") from error
    return network.eval(), header


def is_lifting_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a lifting network; of files that cannot be read, False: whoever loads them says
    what is wrong."""
    try:
        read_header(Path(path), FORMAT, "lifting network")
    except CheckpointError:
        return False
    return True


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
    known = {field.name for field in dataclasses.fields(LiftingNetworkConfig)}
    values: Any = json.loads(text)
    if not isinstance(values, dict) or not set(values) <= known:
        raise ValueError(f"the config of a lifting network has the keys {', '.join(sorted(known))}")
    sets = values.get("point_sets", [])
    if not isinstance(sets, list) or not all(isinstance(name, str) for name in sets):
        raise ValueError("point_sets must be a list of names")
    return LiftingNetworkConfig(**{**values, "point_sets": tuple(sets)})


def _described(place: Path, header: dict[str, str]) -> tuple[LiftingNetworkConfig, FaceBlocks]:
    try:
        return config_of_text(header["config"]), FaceBlocks.of_dict(json.loads(header["blocks"]))
    except KeyError as error:
        raise CheckpointError(f"the header of {place} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {place} makes no sense: {error}") from error
