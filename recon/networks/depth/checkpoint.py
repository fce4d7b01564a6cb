"""Weights of depth networks on disk: safetensors with the family, the config and the metrics in the header."""

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
from recon.networks.depth.crop_depth import CropDepthConfig, CropDepthNetwork
from recon.networks.depth.map_depth import DepthCoding, MapDepthConfig, MapDepthNetwork

FORMAT = "facerecon-depth-1"
DepthConfig = CropDepthConfig | MapDepthConfig
DepthNetwork = CropDepthNetwork | MapDepthNetwork
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
        network: normalisation is part of its weights.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    header = {
        "format": FORMAT,
        "family": next(name for name, kind in _FAMILIES.items() if isinstance(network.config, kind)),
        "config": json.dumps(dataclasses.asdict(network.config)),
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(stored_weights(network, dtype), metadata=header)), overwrite=True)


def load_depth_network(path: str | os.PathLike[str]) -> tuple[DepthNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: no such file, a damaged one, one of another kind, or header and weights do not make a network.
    """
    place = Path(path)
    header = read_header(place, FORMAT, "depth network")
    try:
        config = config_of_text(header["family"], header["config"])
    except KeyError as error:
        raise CheckpointError(f"the header of {place} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {place} makes no sense: {error}") from error
    try:
        check_shapes(place, shapes_of(lambda: depth_network(config)))
        network = depth_network(config)
        network.load_state_dict(read_weights(place), strict=True)
    except CheckpointError:
        raise
    # Tensors of types that torch does not know, and whatever timm raises for configs of other versions.
    except Exception as error:
        raise CheckpointError(f"the weights in {place} do not fit its own config: {error}") from error
    return network.eval(), header


def config_of_text(family: str, text: str) -> DepthConfig:
    """The config of a network from what its file holds.

    Raises:
        ValueError, TypeError, RecursionError: it makes no sense.
    """
    if family not in _FAMILIES:
        raise ValueError(f"unknown family of depth networks {family[:40]!r}; known: {', '.join(_FAMILIES)}")
    kind = _FAMILIES[family]
    values = _known(json.loads(text), kind)
    if kind is MapDepthConfig:
        values["coding"] = DepthCoding(**_known(values.get("coding", {}), DepthCoding))
        values["size"] = tuple(values["size"])
    return kind(**{**values, "pretrained": False})


def _known(values: Any, kind: type[Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(values, dict) or not set(values) <= names:
        raise ValueError(f"the config of a depth network has the keys {', '.join(sorted(names))}")
    return values
