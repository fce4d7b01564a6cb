"""Weights of editors on disk: config, schedule and what the voice means are in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.networks.diffusion.editor_network import EditorConfig, EditorNetwork
from recon.networks.diffusion.noise_schedule import NoiseSchedule
from recon.networks.network_file import CheckpointError, NetworkFile, known_values

_KIND = "dubbing editor"


def save_editor(
    path: str | os.PathLike[str],
    network: EditorNetwork,
    meaning: str,
    metrics: Mapping[str, float],
    extra: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write an editor, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: to be written.
        meaning: of the voice that it hears, which a reader compares with its own.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, network, metrics, {"meaning": meaning, **(extra or {})}, dtype)


def load_editor(path: str | os.PathLike[str]) -> tuple[EditorNetwork, dict[str, str]]:
    """The editor in evaluation mode, float32 on the CPU, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or it does not say what its voice means.
    """

    def check(_: EditorConfig, header: dict[str, str]) -> None:
        if "meaning" not in header:
            raise CheckpointError(f"{path} does not say what the voice means that it hears; train.py writes it")

    return FILE.load(path, check)


def _describe(network: EditorNetwork) -> dict[str, str]:
    return {"config": json.dumps(dataclasses.asdict(network.config))}


def _config_of(header: Mapping[str, str]) -> EditorConfig:
    values: dict[str, Any] = known_values(json.loads(header["config"]), EditorConfig, _KIND)
    schedule = NoiseSchedule(**known_values(values.pop("schedule", {}), NoiseSchedule, _KIND))
    for name in ("multiples", "attention_px"):
        if not isinstance(values.get(name, []), list):
            raise ValueError(f"{name} must be a list of whole numbers")
        if name in values:
            values[name] = tuple(values[name])
    return EditorConfig(**values, schedule=schedule)


FILE: NetworkFile[EditorConfig, EditorNetwork] = NetworkFile(
    "facerecon-editor-1", _KIND, _describe, _config_of, EditorNetwork
)
