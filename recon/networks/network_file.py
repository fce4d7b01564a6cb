"""Weights of networks on disk: safetensors whose header says in JSON what makes the network anew, and what it reaches."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bfm.reading import file_size
from bfm.text import printable
from recon.io.files import write_file
from recon.io.safetensors_order import ordered_safetensors
from recon.networks.file_kinds import is_torch_archive, weights_beside

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours, or one for another face model."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


@dataclasses.dataclass(frozen=True)
class NetworkFile(Generic[Config, Network]):
    """How one kind of network lies on disk.

    Attributes:
        format: what the header calls the kind; its number grows when older files cannot be read any more.
        kind: what messages call it: "landmark network".
        describe: texts of the header from which ``config_of`` makes the config anew.
        config_of: of such a header. It raises KeyError for what is missing and ValueError, TypeError or RecursionError for what
            makes no sense.
        build: a network with random weights; it may raise anything for configs that no network has.
    """

    format: str
    kind: str
    describe: Callable[[Network], dict[str, str]]
    config_of: Callable[[Mapping[str, str]], Config]
    build: Callable[[Config], Network]

    def save(
        self,
        path: str | os.PathLike[str],
        network: Network,
        metrics: Mapping[str, float],
        extra: Mapping[str, str] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Path:
        """Write a network, whole or not at all.

        Args:
            path: of the ``.safetensors`` file.
            network: normalisation is part of its weights.
            metrics: what it reaches.
            extra: anything else for the header: what its points mean, command, commit.
            dtype: of the floating-point weights on disk.

        Raises:
            OutputError: the folder is missing or full; an older file of this name is left as it was.
        """
        header = {
            "format": self.format,
            **self.describe(network),
            "metrics": json.dumps(dict(metrics)),
            **(extra or {}),
        }
        return write_file(
            path, ordered_safetensors(save(_stored_weights(network, dtype), metadata=header)), overwrite=True
        )

    def read(self, path: str | os.PathLike[str]) -> tuple[Config, dict[str, str]]:
        """The config and the header, without weights.

        Raises:
            CheckpointError: no such file, a damaged one, one of another kind, or a header that makes no sense.
        """
        header = read_header(path, self.format, self.kind)
        try:
            return self.config_of(header), header
        except KeyError as error:
            raise CheckpointError(f"the header of {path} lacks {error}; train.py writes it") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"the header of {path} makes no sense: {error}") from error

    def load(
        self,
        path: str | os.PathLike[str],
        check: Callable[[Config, dict[str, str]], None] | None = None,
    ) -> tuple[Network, dict[str, str]]:
        """The network in evaluation mode, float32 on the CPU, and its header.

        Args:
            path: of a file that :meth:`save` wrote.
            check: raises if config or header are not what is wanted, before weights are read.

        Raises:
            CheckpointError: see :meth:`read`; or header and weights do not make a network.
        """
        config, header = self.read(path)
        if check is not None:
            check(config, header)
        try:
            _check_shapes(path, _shapes_of(lambda: self.build(config)))
            network = self.build(config)
            network.load_state_dict(_read_weights(path), strict=True)
        except CheckpointError:
            raise
        # Tensors of types that torch does not know, and whatever timm raises for configs of other versions.
        except Exception as error:
            raise CheckpointError(f"the weights in {path} do not fit its own config: {error}") from error
        return network.eval(), header

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file says that it is one of this kind; of files that cannot be read, False: whoever loads them says what is
        wrong."""
        try:
            read_header(path, self.format, self.kind)
        except CheckpointError:
            return False
        return True


def known_values(values: Any, config: type[Any], kind: str) -> dict[str, Any]:
    """What JSON holds for the fields of a config.

    Args:
        values: as parsed.
        config: a dataclass.
        kind: what messages call the network.

    Raises:
        ValueError: no mapping, or keys that the config does not have.
    """
    names = {field.name for field in dataclasses.fields(config)}
    if not isinstance(values, dict) or not set(values) <= names:
        raise ValueError(f"the config of a {kind} has the keys {', '.join(sorted(names))}")
    return values


def read_header(path: str | os.PathLike[str], expected: str, kind: str) -> dict[str, str]:
    """A file's description, without its weights.

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


def _check_shapes(path: str | os.PathLike[str], wanted: Mapping[str, list[int]]) -> None:
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


def _shapes_of(build: Callable[[], nn.Module]) -> dict[str, list[int]]:
    """Shapes of a network's tensors by name, without their memory."""
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in build().state_dict().items()}


def _read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All tensors of a file, those of floating point as float32."""
    with safe_open(Path(path), framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _stored_weights(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """A network's tensors as they are written, those of floating point in another type."""
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
