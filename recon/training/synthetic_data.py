"""Synthetic faces for training and validation, drawn while training."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.augment import Augmentation
from recon.training.batch import TrainingBatch
from recon.training.module import FaceModelConfig
from recon.training.stream import StreamPlan, SyntheticStream, stream_loader

VALIDATION_SEED = 7_919_000
"""Far from every training seed, so that no validation face is ever trained on."""


def _make_sampler(
    face_model: FaceModelConfig, synthesis: SynthesisConfig, seed: int, size: int, device: str
) -> FaceSampler:
    return FaceSampler(bfm.load(face_model.name, face_model.path), synthesis, seed, (size, size), device)


class SyntheticData(lightning.LightningDataModule):
    """A stream of synthetic faces, and a fixed set of held-out ones.

    Args:
        synthesis: what varies in training.
        validation: what varies in held-out faces; ``None`` is as in training.
        face_model, size: as in the module; ``train.py`` copies them from there.
        batch_size: pictures a step and process.
        replay, window: see :class:`recon.training.stream.StreamPlan`.
        maps: give masks, depth and normals to training too. Needed by losses on pictures, depth and normals.
        augmentation: of training batches; ``None`` is none.
        n_validation: held-out faces.
        workers: processes that draw; 0 draws in the training process, on its device.
        seed: of the training faces.
    """

    def __init__(
        self,
        synthesis: SynthesisConfig,
        validation: SynthesisConfig | None = None,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        batch_size: int = 32,
        replay: int = 1,
        window: int = 2048,
        maps: bool = True,
        augmentation: Augmentation | None = None,
        n_validation: int = 256,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if n_validation < 1 or workers < 0:
            raise ValueError(f"n_validation must be at least 1 and workers at least 0, got {n_validation}, {workers}")
        self.synthesis, self.validation = synthesis, validation or synthesis
        self.face_model, self.size = face_model or FaceModelConfig(), size
        self.plan = StreamPlan(batch_size, replay, window, seed)
        self.maps, self.augmentation = maps, augmentation
        self.n_validation, self.workers, self.seed = n_validation, workers, seed
        self._held_out: list[TrainingBatch] = []

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        trainer = self.trainer
        start = getattr(trainer.lightning_module, "batches_seen", 0) if trainer is not None else 0
        plan = self.plan
        device = "cpu"
        if trainer is not None:
            plan = dataclasses.replace(plan, rank=trainer.global_rank, world=trainer.world_size)
            device = str(trainer.strategy.root_device) if self.workers == 0 else "cpu"
        make = functools.partial(_make_sampler, self.face_model, self.synthesis, self.seed, self.size, device)
        stream = SyntheticStream(make, plan, start, self.augmentation, self.maps)
        return stream_loader(stream, self.workers)

    def val_dataloader(self) -> Any:
        """Held-out faces, drawn once; each process has its share."""
        if not self._held_out:
            trainer = self.trainer
            rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
            make = _make_sampler(self.face_model, self.validation, VALIDATION_SEED, self.size, "cpu")
            mine = list(range(rank, self.n_validation, world))
            step = self.plan.batch_size
            self._held_out = [TrainingBatch.of(make.batch(mine[k : k + step])) for k in range(0, len(mine), step)]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
