"""Clips of speaking faces for editors: synthetic people, drawn once before training starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from recon.networks.diffusion.editor_network import Voice
from recon.training.dub_batch import ClipFrames, DubAugmentation, DubBatch
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader
from recon.training.talking_clips import TalkingClipsConfig, clip_file, draw_talking_clips

_PLAN = BatchPlan(batch_size=16)
_CLIPS = TalkingClipsConfig()
_AUGMENTATION = DubAugmentation()


class DubStream(IterableDataset[DubBatch]):
    """Batches from a step on, for ever; step n always holds the same frames.

    Args:
        frames: of all clips.
        augmentation: what happens to them.
        plan: batch size and seed.
        place: of the first step, and of this process.
    """

    def __init__(self, frames: ClipFrames, augmentation: DubAugmentation, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.frames, self.augmentation, self.plan, self.place = frames, augmentation, plan, place

    def __iter__(self) -> Iterator[DubBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        step = self.place.step
        for number, chosen in enumerate(EndlessOrder(len(self.frames), self.plan, self.place)):
            if number % stride == first:
                random = np.random.default_rng(step_seed(self.plan.seed + 1, step, self.place.rank))
                yield self.frames.batch(chosen, self.augmentation, random)
            step += 1


class ClipData(lightning.LightningDataModule):
    """Data of clips on disk.

    Args:
        voice: what is heard; ``train.py`` takes it from the network's config, as ``window`` and ``guide``.
        window: times of the voice for a frame.
        guide: channels of the guides; 0: none.
        augmentation: of training frames.
        plan: batch size and seed.
        held_out_frames: of the held-out clips, evenly spaced, for validation.
        workers: processes that make batches; 0 makes them in the training process.

    Raises:
        ValueError: fewer than no workers, or no held-out frame.
    """

    def __init__(
        self,
        voice: Voice = "mel",
        window: int = 5,
        guide: int = 0,
        augmentation: DubAugmentation = _AUGMENTATION,
        plan: BatchPlan = _PLAN,
        held_out_frames: int = 128,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0 or held_out_frames < 1:
            raise ValueError(
                f"workers must be at least 0 and held_out_frames at least 1, got {workers} and {held_out_frames}"
            )
        self.voice, self.window, self.guide = voice, window, guide
        self.augmentation, self.plan = augmentation, plan
        self.held_out_frames, self.workers = held_out_frames, workers

    def clip_files(self) -> tuple[list[Path], list[Path]]:
        """Files of the clips to train with and of those held out, which are there after ``prepare_data``."""
        raise NotImplementedError

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        frames = ClipFrames(self.clip_files()[0], self.voice, self.window, self.guide)
        place = StreamPlace.of_trainer(self.trainer)
        return stream_loader(DubStream(frames, self.augmentation, self.plan, place), self.workers)

    def val_dataloader(self) -> Any:
        """Held-out frames, the same at every validation."""
        frames = ClipFrames(self.clip_files()[1], self.voice, self.window, self.guide)
        chosen = np.linspace(0, len(frames) - 1, min(self.held_out_frames, len(frames))).round().astype(int).tolist()
        size = self.plan.batch_size
        batches = [
            frames.batch(chosen[start : start + size], DubAugmentation.held_out(), np.random.default_rng(start))
            for start in range(0, len(chosen), size)
        ]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: DubBatch, device: torch.device, dataloader_idx: int) -> DubBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)


class TalkingData(ClipData):
    """Synthetic people who speak; espeak-ng must be installed.

    Args:
        folder: where clips are kept.
        clips: to train with; their size is the network's.
        size: side of the crops, px; ``train.py`` takes it from the network's config.
        held_out: number of clips of other people, voices and sentences for validation.
        drawers: processes that draw clips; 0 draws them in the training process.
        settings: see :class:`ClipData`.

    Raises:
        ValueError: see :class:`ClipData`; no held-out clip.
    """

    def __init__(
        self,
        folder: str,
        clips: TalkingClipsConfig = _CLIPS,
        size: int = 64,
        held_out: int = 24,
        drawers: int = 1,
        voice: Voice = "mel",
        window: int = 5,
        guide: int = 0,
        augmentation: DubAugmentation = _AUGMENTATION,
        plan: BatchPlan = _PLAN,
        held_out_frames: int = 128,
        workers: int = 0,
    ) -> None:
        super().__init__(voice, window, guide, augmentation, plan, held_out_frames, workers)
        place = Path(folder).expanduser()
        self.drawers = drawers
        self.parts = {
            place / "train": dataclasses.replace(clips, size=size),
            place / "held_out": TalkingClipsConfig.held_out(held_out, size),
        }

    def prepare_data(self) -> None:
        """Draw what has not been drawn.

        Raises:
            FaceClipError, SpeechError: see :func:`recon.training.talking_clips.draw_talking_clips`.
        """
        for folder, config in self.parts.items():
            draw_talking_clips(folder, config, self.drawers)

    def clip_files(self) -> tuple[list[Path], list[Path]]:
        """See :class:`ClipData`."""
        train, held_out = ([clip_file(folder, k) for k in range(config.count)] for folder, config in self.parts.items())
        return train, held_out
