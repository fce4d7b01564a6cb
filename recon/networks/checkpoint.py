"""Weights of regressors on disk: the config and the face model's blocks are in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.networks.backbones import check_options
from recon.networks.head import FaceBlocks
from recon.networks.network_file import NetworkFile
from recon.networks.regressor import Regressor, RegressorConfig, config_of_dict, config_to_dict
from recon.networks.served_model import check_serves


def save_checkpoint(
    path: str | os.PathLike[str],
    regressor: Regressor,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a network, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        regressor: to be written.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, regressor, metrics, extra, dtype)


def load_regressor(path: str | os.PathLike[str], blocks: FaceBlocks | None = None) -> tuple[Regressor, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_checkpoint` wrote.
        blocks: of the face model it must have been trained for; ``None`` takes any.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`; or the face model differs in name, sizes or
            pivot. A face model whose bases alone differ is a warning in the log.
    """

    def check(found: tuple[RegressorConfig, FaceBlocks], header: dict[str, str]) -> None:
        if blocks is not None:
            check_serves(path, found[1], blocks)

    return FILE.load(path, check)


def _describe(regressor: Regressor) -> dict[str, str]:
    return {
        "config": json.dumps(config_to_dict(regressor.config)),
        "blocks": json.dumps(regressor.blocks.to_dict()),
        "backbone_options": json.dumps(regressor.config.backbone_options or {}),
    }


def _config_of(header: Mapping[str, str]) -> tuple[RegressorConfig, FaceBlocks]:
    # The first checkpoints have no backbone_options.
    options = json.loads(header.get("backbone_options", "{}"))
    config, blocks = config_of_dict(json.loads(header["config"])), FaceBlocks.of_dict(json.loads(header["blocks"]))
    if not isinstance(options, dict):
        raise ValueError("backbone_options must be a mapping")
    options = _tuples(options)
    check_options(options)
    return dataclasses.replace(config, backbone_options=options or None), blocks


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, timm wants them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


FILE: NetworkFile[tuple[RegressorConfig, FaceBlocks], Regressor] = NetworkFile(
    "facerecon-regressor-1", "regressor checkpoint", _describe, _config_of, lambda parts: Regressor(*parts)
)
