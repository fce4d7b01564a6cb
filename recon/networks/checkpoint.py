"""Weights on disk: safetensors with the config, the face model's blocks and the metrics as JSON in the header."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bfm.reading import file_size
from bfm.text import printable
from recon.io.files import write_file
from recon.networks.backbones import check_options
from recon.networks.file_kinds import is_torch_archive, weights_beside
from recon.networks.head import FaceBlocks
from recon.networks.regressor import Regressor, RegressorConfig, config_of_dict, config_to_dict

logger = logging.getLogger(__name__)

FORMAT = "facerecon-regressor-1"


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours, or one for another face model."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def save_checkpoint(
    path: str | os.PathLike[str],
    regressor: Regressor,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write the weights under a temporary name, then rename: a file that is there is a whole one.

    Args:
        path: of the ``.safetensors`` file.
        regressor: normalisation is part of its weights.
        metrics: what it reaches.
        extra: anything else worth knowing: command, commit.
        dtype: of the floating-point weights on disk.

    Raises:
        OutputError: the folder is missing or full; an older file of this name is left as it was.
    """
    tensors = stored_weights(regressor, dtype)
    header = {
        "format": FORMAT,
        "config": json.dumps(config_to_dict(regressor.config)),
        "blocks": json.dumps(regressor.blocks.to_dict()),
        "backbone_options": json.dumps(regressor.config.backbone_options or {}),
        "metrics": json.dumps(metrics),
        **(extra or {}),
    }
    return write_file(path, ordered(save(tensors, metadata=header)), overwrite=True)


def ordered(content: bytes) -> bytes:
    """A safetensors file with its description in the order of names: the library's order differs from run to run."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def read_header(
    path: str | os.PathLike[str], expected: str = FORMAT, kind: str = "regressor checkpoint"
) -> dict[str, str]:
    """The checkpoint's description, without its weights.

    Args:
        path: of the file.
        expected: the format that it must have.
        kind: what such files are called in messages.

    Raises:
        CheckpointError: no such file, a damaged one, or another format.
    """
    place = Path(path)
    if not place.is_file():
        raise CheckpointError(f"no checkpoint at {place}; pass a .safetensors file that train.py wrote")
    try:
        training = is_torch_archive(place)
        if not training:
            file_size(place)
            with safe_open(place, framework="pt") as file:
                header = dict(file.metadata() or {})
    # The library raises types of its own for what it finds in a foreign file.
    except Exception as error:
        raise CheckpointError(f"{place} is damaged or no safetensors file: {error}") from error
    if training:
        raise CheckpointError(
            f"{place} is a file of torch.save, such as the last.ckpt with which a training goes on, and not the weights of a "
            f"network alone: pass {weights_beside(place) or 'the best.safetensors of that run'}"
        )
    if header.get("format") != expected:
        raise CheckpointError(f"{place} is no {kind}: format {header.get('format')!r}, expected {expected!r}")
    return header


def check_shapes(path: str | os.PathLike[str], wanted: Mapping[str, list[int]]) -> None:
    """Refuse weights that are not those of a network, before memory is taken for either.

    Raises:
        CheckpointError: a tensor is missing, too many, or of another shape.
    """
    with safe_open(Path(path), framework="pt") as file:
        held = {name: file.get_slice(name).get_shape() for name in file.keys()}
    for name in sorted({*wanted, *held}):
        if wanted.get(name) != held.get(name):
            raise CheckpointError(
                f"the weights in {path} do not fit its own config: {name} has shape {held.get(name, 'none')}, the network "
                f"{wanted.get(name, 'none')}"
            )


def shapes_of(build: Callable[[], nn.Module]) -> dict[str, list[int]]:
    """Shapes of a network's tensors by name, without their memory."""
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in build().state_dict().items()}


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All tensors of a file, those of floating point as float32."""
    with safe_open(Path(path), framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def stored_weights(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """A network's tensors as they are written, those of floating point in another type."""
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }


def load_regressor(path: str | os.PathLike[str], blocks: FaceBlocks | None = None) -> tuple[Regressor, dict[str, str]]:
    """The network in evaluation mode, float32 on the CPU, and its header.

    Args:
        path: of a file that :func:`save_checkpoint` wrote.
        blocks: of the face model it must have been trained for; ``None`` takes any.

    Raises:
        CheckpointError: see :func:`read_header`; the face model differs in name, sizes or pivot; or header and weights
            do not make a network. A face model whose bases alone differ is a warning in the log.
    """
    header = read_header(path)
    config, found = _described(path, header)
    if blocks is not None:
        check_serves(path, found, blocks)
    try:
        regressor = _built(path, config, found)
        regressor.load_state_dict(read_weights(path), strict=True)
    except CheckpointError:
        raise
    # A header that names what networks cannot have together, or tensors of types that torch does not know.
    except Exception as error:
        raise CheckpointError(f"the weights in {path} do not fit its own config: {error}") from error
    return regressor.eval(), header


def check_serves(path: str | os.PathLike[str], found: FaceBlocks, blocks: FaceBlocks) -> None:
    """Refuse a network of another face model; warn if only the bases differ from those it was trained for.

    Raises:
        CheckpointError: the face model differs in name, sizes or pivot.
    """
    if not found.serves(blocks):
        raise CheckpointError(
            f"{path} was trained for the face model {found.model!r} with {found.n_vertices} vertices and "
            f"{found.n_identity}/{found.n_expression}/{found.n_albedo} components, pivot {found.pivot_mm}; the model in "
            f"use is {blocks.model!r} with {blocks.n_vertices} vertices and "
            f"{blocks.n_identity}/{blocks.n_expression}/{blocks.n_albedo} components, pivot {blocks.pivot_mm}"
        )
    difference = found.difference(blocks)
    if difference:
        logger.warning(
            "%s was trained for another version of the face model %r than the one in use, which differs in %s. Its heads "
            "may be off by as much; train it again for the model in use, or take the version that it was trained for",
            *(path, blocks.model, difference),
        )


def _described(path: str | os.PathLike[str], header: dict[str, str]) -> tuple[RegressorConfig, FaceBlocks]:
    """What the header says of the network, every value checked."""
    try:
        # The first checkpoints have no backbone_options.
        header = {"backbone_options": "{}", **header}
        parts = {key: json.loads(header[key]) for key in ("config", "blocks", "backbone_options")}
        blocks = FaceBlocks.of_dict(parts["blocks"])
        config = config_of_dict(parts["config"])
        if not isinstance(parts["backbone_options"], dict):
            raise ValueError("backbone_options must be a mapping")
        options = _tuples(parts["backbone_options"])
        check_options(options)
    except KeyError as error:
        raise CheckpointError(f"the header of {path} lacks {error}; train.py writes it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"the header of {path} makes no sense: {error}") from error
    return dataclasses.replace(config, backbone_options=options or None), blocks


def _built(path: str | os.PathLike[str], config: RegressorConfig, blocks: FaceBlocks) -> Regressor:
    """The network of a header, once it is known to be as large as the weights in the file."""
    check_shapes(path, shapes_of(lambda: Regressor(config, blocks)))
    return Regressor(config, blocks)


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, timm wants them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
