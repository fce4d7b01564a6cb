"""Weights on disk: safetensors with the config, the face model's blocks and the metrics as JSON in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from recon.io.files import write_file
from recon.networks.head import FaceBlocks
from recon.networks.regressor import Regressor, RegressorConfig

FORMAT = "facerecon-regressor-1"


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours, or one for another face model."""


def save_checkpoint(
    path: str | os.PathLike[str],
    regressor: Regressor,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    backbone_options: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write the weights under a temporary name, then rename: a file that is there is a whole one.

    Args:
        path: of the ``.safetensors`` file.
        regressor: normalisation is part of its weights.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        backbone_options: with which its backbone was built.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in regressor.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(regressor.config)),
        "blocks": json.dumps(dataclasses.asdict(regressor.blocks)),
        "backbone_options": json.dumps(backbone_options or {}),
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, _ordered(save(tensors, metadata=header)), overwrite=True)


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its description in the order of names: the library's order differs from run to run."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def read_header(path: str | os.PathLike[str]) -> dict[str, str]:
    """The checkpoint's description, without its weights.

    Raises:
        CheckpointError: no such file, a damaged one, or another format.
    """
    place = Path(path)
    if not place.is_file():
        raise CheckpointError(f"no checkpoint at {place}; pass a .safetensors file that train.py wrote")
    try:
        with safe_open(place, framework="pt") as file:
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(f"{place} is damaged or no safetensors file: {error}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{place} is no regressor checkpoint: format {header.get('format')!r}, expected {FORMAT!r}"
        )
    return header


def load_regressor(path: str | os.PathLike[str], blocks: FaceBlocks | None = None) -> tuple[Regressor, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_checkpoint` wrote.
        blocks: of the face model it must have been trained for; ``None`` takes any.

    Raises:
        CheckpointError: see :func:`read_header`; or the face model differs in name, size or blocks.
    """
    header = read_header(path)
    found = FaceBlocks.of_dict(json.loads(header["blocks"]))
    if blocks is not None and not found.serves(blocks):
        raise CheckpointError(
            f"{path} was trained for the face model {found.model!r} with {found.n_vertices} vertices and "
            f"{found.n_identity}/{found.n_expression}/{found.n_albedo} components, pivot {found.pivot_mm}; the model in use is "
            f"{blocks.model!r} with {blocks.n_vertices} vertices and "
            f"{blocks.n_identity}/{blocks.n_expression}/{blocks.n_albedo} components, pivot {blocks.pivot_mm}"
        )
    config = RegressorConfig(**{**json.loads(header["config"]), "pretrained": False})
    regressor = Regressor(config, found, **_tuples(json.loads(header["backbone_options"])))
    with safe_open(Path(path), framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    try:
        regressor.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its own config: {error}") from error
    return regressor.eval(), header


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, timm wants them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
