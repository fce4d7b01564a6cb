"""Checkpoints that are whole or not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from recon.io.files import write_file
from recon.io.parts import remove_leftovers


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
        torch.save(checkpoint, buffer)
        write_file(place, buffer.getvalue(), overwrite=True)
