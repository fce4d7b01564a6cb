"""Weights of landmark networks on disk: the config and what the points mean are in the header."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from bfm.dense_landmarks import dense_landmarks
from bfm.model import MorphableModel
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig
from recon.networks.network_file import CheckpointError, NetworkFile, known_values

_KIND = "landmark network"


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
        network: to be written.
        fingerprint: what its points mean, see :func:`landmark_fingerprint`.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, {"landmarks": fingerprint, **(extra or {})}, dtype)


def load_landmark_network(
    path: str | os.PathLike[str], fingerprint: str | None = None
) -> tuple[LandmarkNetwork, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_landmark_network` wrote.
        fingerprint: what its points must mean; ``None`` takes any.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or other points.
    """

    def check(config: LandmarkNetworkConfig, header: dict[str, str]) -> None:
        if fingerprint is not None:
            check_landmarks(path, config, header.get("landmarks"), fingerprint)

    return FILE.load(path, check)


def is_landmark_network(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.safetensors`` file says that it is a landmark network."""
    return FILE.holds(path)


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
    values = known_values(json.loads(text), LandmarkNetworkConfig, _KIND)
    sets = values.get("point_sets", ())
    if not isinstance(sets, list) or not all(isinstance(name, str) for name in sets):
        raise ValueError("point_sets must be a list of names")
    return LandmarkNetworkConfig(**{**values, "point_sets": tuple(sets), "pretrained": False})


FILE: NetworkFile[LandmarkNetworkConfig, LandmarkNetwork] = NetworkFile(
    "facerecon-landmarks-1",
    _KIND,
    lambda network: {"config": json.dumps(dataclasses.asdict(network.config))},
    lambda header: config_of_text(header["config"]),
    LandmarkNetwork,
)
