"""Synthetic faces for training and validation, rendered while training."""

from __future__ import annotations

import functools
from typing import Any

import lightning
import torch

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.augment import Augmentation
from recon.training.batch import TrainingBatch
from recon.training.held_out import HeldOutConfig, HeldOutFaces
from recon.training.module import FaceModelConfig
from recon.training.stream import StreamPlace, StreamPlan, SyntheticStream, stream_loader

_PLAN = StreamPlan(batch_size=32)
_HELD_OUT = HeldOutConfig(count=256)


def _make_sampler(
    face_model: FaceModelConfig, synthesis: SynthesisConfig, seed: int, size: int, device: str
) -> FaceSampler:
    return FaceSampler(bfm.load(face_model.name, face_model.path), synthesis, seed, (size, size), device)


class SyntheticData(lightning.LightningDataModule):
    """A stream of synthetic faces, and a fixed set of held-out ones.

    Args:
        synthesis: what varies in training.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, replay and seed of training.
        held_out: faces for validation.
        maps: give masks, depth and normals to training too. Needed by losses on pictures, depth and normals.
        augmentation: of training batches; ``None`` is none.
        workers: processes that render; 0 renders in the training process, on its device.

    Raises:
        ValueError: fewer than no workers.
    """

    def __init__(
        self,
        synthesis: SynthesisConfig,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        plan: StreamPlan = _PLAN,
        held_out: HeldOutConfig = _HELD_OUT,
        maps: bool = True,
        augmentation: Augmentation | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}; 0 renders in the training process")
        self.synthesis, self.face_model, self.size = synthesis, face_model or FaceModelConfig(), size
        self.plan, self.maps, self.augmentation, self.workers = plan, maps, augmentation, workers
        self._faces = HeldOutFaces(held_out.synthesis or synthesis, self.face_model, size, held_out.count)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        trainer = self.trainer
        device = "cpu" if trainer is None or self.workers else str(trainer.strategy.root_device)
        make = functools.partial(_make_sampler, self.face_model, self.synthesis, self.plan.seed, self.size, device)
        stream = SyntheticStream(make, self.plan, StreamPlace.of_trainer(trainer), self.augmentation, self.maps)
        return stream_loader(stream, self.workers)

    def val_dataloader(self) -> Any:
        """Held-out faces, rendered once; each process has its share."""
        return self._faces.loader(self.plan.batch_size, self.trainer)

    test_dataloader = val_dataloader

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
