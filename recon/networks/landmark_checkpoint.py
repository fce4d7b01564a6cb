"""Weights of landmark networks on disk: safetensors with the config, the face model and the metrics in the header."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from bfm.dense_landmarks import dense_landmarks
from bfm.model import MorphableModel
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
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig

FORMAT = "facerecon-landmarks-1"


def landmark_fingerprint(model: MorphableModel, point_sets: tuple[str, ...]) -> str:
    """What the points of a network mean: a hash of where they lie on the model's mean head, in tenths of a millimetre."""
    if "520" in point_sets and "520" not in model.landmark_sets:
        model = model.with_landmarks("520", dense_landmarks(model))
    places = [model.landmarks(model.mean_shape[None], name)[0].double().cpu().numpy() for name in point_sets]
    tenths = np.round(10.0 * np.concatenate(places)).astype("<i4")
    return hashlib.sha256(tenths.tobytes()).hexdigest()[:16]


def save_landmark_network(
    path: str | os.PathLike[str],
    network: LandmarkNetwork,
    fingerprint: str,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: normalisation is part of its weights.
        fingerprint: what its points mean, see :func:`landmark_fingerprint`.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    tensors = stored_weights(network, dtype)
    header = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(network.config)),
        "landmarks": fingerprint,
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(tensors, metadata=header)), overwrite=True)


def load_landmark_network(
    path: str | os.PathLike[str], fingerprint: str | None = None
) -> tuple[LandmarkNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_landmark_network` wrote.
        fingerprint: what its points must mean; ``None`` takes any.

    Raises:
        CheckpointError: no such file, a damaged one, another format, other points, or header and weights that do not make a
            network.
    """
    place = Path(path)
    header = _read_header(place)
    config = _config(place, header)
    if fingerprint is not None:
        check_landmarks(place, config, header.get("landmarks"), fingerprint)
    try:
        check_shapes(place, shapes_of(lambda: LandmarkNetwork(config)))
        network = LandmarkNetwork(config)
        network.load_state_dict(read_weights(place), strict=True)
    except CheckpointError:
        raise
    # Tensors of types that torch does not know, and whatever timm raises for configs of other versions.
    except Exception as error:
        raise CheckpointError(f"the weights in {place} do not fit its own config: {error}") from error
    return network.eval(), header


def is_landmark_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a landmark network; of files that cannot be read, False: whoever loads
    them says what is wrong."""
    try:
        _read_header(Path(path))
    except CheckpointError:
        return False
    return True


def _read_header(place: Path) -> dict[str, str]:
    return read_header(place, FORMAT, "landmark network")


def check_landmarks(
    path: str | os.PathLike[str], config: LandmarkNetworkConfig, found: str | None, wanted: str
) -> None:
    """Refuse a network of other landmarks than those that :func:`landmark_fingerprint` tells of.

    Raises:
        CheckpointError: ``found``, of the file, is not ``wanted``.
    """
    if found != wanted:
        raise CheckpointError(
            f"{path} was trained for other landmarks (sets {', '.join(config.point_sets)}, fingerprint {found!r}) than "
            f"those of the face model in use ({wanted!r}): its points would lie on other places of the face; train it "
            "again for this model, or use the model that it was trained for"
        )


def config_of_text(text: str) -> LandmarkNetworkConfig:
    """The config of a network from the JSON that its files hold.

    Raises:
        ValueError, TypeError, RecursionError: it makes no sense.
    """
    known = {field.name for field in dataclasses.fields(LandmarkNetworkConfig)}
    values: Any = json.loads(text)
    if not isinstance(values, dict) or not set(values) <= known:
        raise ValueError(f"the config of a landmark network has the keys {', '.join(sorted(known))}")
    sets = values.get("point_sets", ())
    if not isinstance(sets, list) or not all(isinstance(name, str) for name in sets):
        raise ValueError("point_sets must be a list of names")
    return LandmarkNetworkConfig(**{**values, "point_sets": tuple(sets), "pretrained": False})


def _config(place: Path, header: dict[str, str]) -> LandmarkNetworkConfig:
    try:
        return config_of_text(header["config"])
    except KeyError as error:
        raise CheckpointError(f"the header of {place} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {place} makes no sense: {error}") from error
