"""Checkpoints that are whole or not there, and that know the validation of their step."""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bfm.reading import file_size
from recon.io.files import write_file
from recon.io.parts import remove_leftovers
from recon.networks.file_kinds import is_safetensors
from recon.networks.network_file import CheckpointError

_LARGEST_BYTES = 64 << 30


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt``, written every so many steps; at a step that is validated, after the validation.

    Lightning's own callback writes before it. A run that is killed in between then goes on behind a validation that no
    state remembers, and the best weights of that step are lost to worse ones.

    Args:
        every_n_train_steps: optimiser steps between two checkpoints.
        dirpath: folder of the checkpoint; the run's own if ``None``.
    """

    def __init__(self, every_n_train_steps: int, dirpath: str | None = None) -> None:
        super().__init__(dirpath=dirpath, save_last=True, save_top_k=0, every_n_train_steps=every_n_train_steps)
        self._waiting = False

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write, unless a validation follows."""
        self._waiting = _validation_follows(trainer)
        if not self._waiting:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write what waited for the validation."""
        super().on_validation_end(trainer, pl_module)
        if self._waiting:
            self._waiting = False
            super().on_train_batch_end(trainer, pl_module, None, None, 0)


def _validation_follows(trainer: lightning.Trainer) -> bool:
    every = trainer.val_check_batch
    if not trainer.enable_validation or trainer.check_val_every_n_epoch is not None or not isinstance(every, int):
        return False
    return (trainer.fit_loop.epoch_loop.total_batch_idx + 1) % every == 0


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the one it replaces, then renames it.

    Lightning's own way goes through the folder for temporary files. Where that is another disk, the last step is a copy,
    and an interrupt or a full disk in it costs the checkpoint that was there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save a checkpoint to a local path.

        Raises:
            OutputError: the disk is full or may not be written to; an older file of this name is left as it was.
            TypeError: storage options, which a local file does not have.
        """
        if storage_options is not None:
            raise TypeError("checkpoints are written to local files, which take no storage options")
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent)  # of runs that were killed while they wrote: each as large as a checkpoint
        buffer = io.BytesIO()
        torch.save(_canonical(checkpoint), buffer)
        write_file(place, buffer.getvalue(), overwrite=True)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """A checkpoint that :meth:`save_checkpoint` wrote, without running any code that the file may carry.

        Args:
            path: of a local file.
            map_location: where its tensors go.
            weights_only: left to Lightning's signature; nothing but tensors and plain values is read, whatever it says.

        Raises:
            CheckpointError: no such file, a damaged one, weights alone, or one that asks for more than tensors and plain
                values.
        """
        place = Path(path)
        try:
            file_size(place, _LARGEST_BYTES)
            weights_alone = is_safetensors(place)
            found = None if weights_alone else torch.load(place, map_location=map_location, weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"no checkpoint at {place}; runs keep theirs as last.ckpt") from None
        # torch's reader raises whatever it meets in a foreign file; its messages advise to run the file's code.
        except Exception as error:
            raise CheckpointError(
                f"{place} cannot be read: it is damaged, or holds more than tensors and plain values, which is not read "
                f"because it could run code ({type(error).__name__})"
            ) from error
        if weights_alone:
            raise CheckpointError(
                f"{place} holds the weights of a network alone, and a run cannot go on from these: leave --ckpt_path out and "
                f"start from them with --model.init_args.run.initial_weights {place} (of landmarks: --model.init_args.initial_weights), "
                "or pass the run's last.ckpt"
            )
        keys = set(found) if isinstance(found, dict) else set()
        missing = sorted({"state_dict", "global_step", "pytorch-lightning_version"} - keys)
        if missing:
            raise CheckpointError(f"{place} is no checkpoint of a training run: it lacks {', '.join(missing)}")
        return dict(found or {})


def _canonical(value: Any) -> Any:
    """The same values with one object for equal texts, and containers of their own.

    A pickle writes an object once and refers to it afterwards. Texts that were read from a checkpoint are other objects than
    the program's own, so without this a resumed run would write its equal checkpoint in other bytes.
    """
    if type(value) is str:
        return sys.intern(value)
    if type(value) in (list, tuple):
        return type(value)(_canonical(entry) for entry in value)
    if type(value) in (dict, OrderedDict):
        result = type(value)((_canonical(key), _canonical(entry)) for key, entry in value.items())
        if isinstance(value, OrderedDict):
            result.__dict__.update(
                {name: _canonical(entry) for name, entry in value.__dict__.items()}
            )  # _metadata of a state_dict
        return result
    return value
