"""Weights of face box networks on disk: safetensors with the config and the metrics in the header."""

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
    check_shapes,
    ordered,
    read_header,
    read_weights,
    shapes_of,
    stored_weights,
)
from recon.networks.face_box_network import FaceBoxNetwork, FaceBoxNetworkConfig

FORMAT = "facerecon-face-boxes-1"


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
        network: normalisation is part of its weights.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    header = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(network.config)),
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(stored_weights(network, dtype), metadata=header)), overwrite=True)


def load_face_box_network(path: str | os.PathLike[str]) -> tuple[FaceBoxNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: no such file, a damaged one, one of another kind, or header and weights do not make a network.
    """
    place = Path(path)
    header = read_header(place, FORMAT, "face box network")
    try:
        config = _config_of_text(header["config"])
    except KeyError as error:
        raise CheckpointError(f"the header of {place} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {place} makes no sense: {error}") from error
    check_shapes(place, shapes_of(lambda: FaceBoxNetwork(config)))
    network = FaceBoxNetwork(config)
    network.load_state_dict(read_weights(place), strict=True)
    return network.eval(), header


def _config_of_text(text: str) -> FaceBoxNetworkConfig:
    known = {field.name for field in dataclasses.fields(FaceBoxNetworkConfig)}
    values: Any = json.loads(text)
    if not isinstance(values, dict) or not set(values) <= known:
        raise ValueError(f"the config of a face box network has the keys {', '.join(sorted(known))}")
    low, high = values.get("face_px", (12.0, 110.0))
    return FaceBoxNetworkConfig(**{**values, "face_px": (float(low), float(high)), "pretrained": False})
