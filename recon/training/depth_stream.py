"""Pictures with depth drawn while training, in the cameras of the depth papers: whole pictures, and depth in their own frame."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.depth_batch import DepthBatch
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig, share_in_batches
from recon.training.module import FaceModelConfig
from recon.training.stream import Sampler, StreamPlace, StreamPlan, stream_loader

_PLAN = StreamPlan(batch_size=6)
_HELD_OUT = HeldOutConfig(count=256)


class DepthStream(IterableDataset[DepthBatch]):
    """Batches of new pictures from a step on, for ever.

    Args:
        make_sampler: called once in each worker.
        plan: which samples make which batch.
        place: of the first step, and of this process.
    """

    def __init__(self, make_sampler: Callable[[], Sampler], plan: StreamPlan, place: StreamPlace) -> None:
        super().__init__()
        self.make_sampler, self.plan, self.place = make_sampler, plan, place

    def __iter__(self) -> Iterator[DepthBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        sampler, step = self.make_sampler(), self.place.step + first
        while True:
            yield DepthBatch.of(sampler.batch(self.plan.fresh_indices(step, self.place)))
            step += stride


def _make_sampler(
    face_model: FaceModelConfig, synthesis: SynthesisConfig, seed: int, size: tuple[int, int]
) -> FaceSampler:
    return FaceSampler(bfm.load(face_model.name, face_model.path), synthesis, seed, size)


class DepthStreamData(lightning.LightningDataModule):
    """A stream of drawn pictures, each shown once, and a fixed set of held-out ones.

    Args:
        synthesis: what varies in training.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size and seed.
        held_out: faces for validation.
        workers: processes that draw; 0 draws in the training process.

    Raises:
        ValueError: fewer than no workers, or a plan that shows pictures more than once, for which faces are cached
            (:mod:`recon.training.depth_data`).
    """

    def __init__(
        self,
        synthesis: SynthesisConfig,
        face_model: FaceModelConfig | None = None,
        size: int | tuple[int, int] = (480, 640),
        plan: StreamPlan = _PLAN,
        held_out: HeldOutConfig = _HELD_OUT,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}; 0 draws in the training process")
        if plan.replay != 1:
            raise ValueError(f"this stream shows each picture once, got plan.replay {plan.replay}; set it to 1")
        self.synthesis, self.face_model = synthesis, face_model or FaceModelConfig()
        self.size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.plan, self.held_out, self.workers = plan, held_out, workers
        self._held_out: list[DepthBatch] = []

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        make = functools.partial(_make_sampler, self.face_model, self.synthesis, self.plan.seed, self.size)
        return stream_loader(DepthStream(make, self.plan, StreamPlace.of_trainer(self.trainer)), self.workers)

    def val_dataloader(self) -> Any:
        """Held-out pictures, drawn once; each process has its share."""
        if not self._held_out:
            synthesis = self.held_out.synthesis or self.synthesis
            sampler = _make_sampler(self.face_model, synthesis, HELD_OUT_SEED, self.size)
            parts = share_in_batches(self.held_out.count, self.plan.batch_size, self.trainer)
            self._held_out = [DepthBatch.of(sampler.batch(part)) for part in parts]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: DepthBatch, device: torch.device, dataloader_idx: int) -> DepthBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
