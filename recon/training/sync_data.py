"""Pieces of clips for the sync network: mouths, voices, and how far the lips are apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from recon.dubbing.clips import FaceClip, FaceClipError
from recon.dubbing.voices import features_of
from recon.networks.sync_network import SOUND_FEATURES
from recon.training.stream import BatchPlan, StreamPlace, step_seed, stream_loader
from recon.training.talking_clips import TalkingClipsConfig, clip_file, draw_talking_clips

_PLAN = BatchPlan(batch_size=8)
_CLIPS = TalkingClipsConfig()
_COLOUR, _NOISE = 0.25, 0.06


@dataclasses.dataclass(frozen=True, eq=False)
class SyncBatch:
    """B pieces of clips.

    Attributes:
        crops: ``(B, T, 3, S, S)`` in [-1, 1].
        features: ``(B, M, bands)`` of the voice: two a frame from the first on, and what the last frame's piece needs.
        lips_mm: ``(B, T, 2)`` opening and width.
    """

    crops: Float[Tensor, "b t 3 s s"]
    features: Float[Tensor, "b m bands"]
    lips_mm: Float[Tensor, "b t 2"]

    def __len__(self) -> int:
        return len(self.crops)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SyncBatch:
        """The same batch on another device."""
        return SyncBatch(**{name: t.to(device, non_blocking=non_blocking) for name, t in self.tensors().items()})


class SyncStream(IterableDataset[SyncBatch]):
    """Batches from a step on, for ever; step n always holds the same pieces.

    Args:
        files: of clips whose lips are known.
        frames: of a piece.
        plan: batch size and seed.
        place: of the first step, and of this process.

    Raises:
        FaceClipError: a file is damaged, or no clip is long enough.
    """

    def __init__(self, files: list[Path], frames: int, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.frames, self.plan, self.place = frames, plan, place
        clips = [FaceClip.load(file) for file in files]
        self.clips = [(clip, features_of(clip)) for clip in clips if len(clip) >= frames and clip.lips_mm is not None]
        if not self.clips:
            raise FaceClipError(f"none of the {len(files)} clips has {frames} frames whose lips are known")

    def __iter__(self) -> Iterator[SyncBatch]:
        step = self.place.step
        while True:
            random = np.random.default_rng(step_seed(self.plan.seed, step, self.place.rank))
            yield stacked([self._piece(random) for _ in range(self.plan.batch_size)])
            step += 1

    def _piece(self, random: np.random.Generator) -> SyncBatch:
        clip, features = self.clips[int(random.integers(len(self.clips)))]
        piece = piece_of(clip, features, int(random.integers(len(clip) - self.frames + 1)), self.frames)
        gain = torch.from_numpy(1.0 + _COLOUR * random.uniform(-1.0, 1.0, size=(3, 1, 1))).float()
        noise = _NOISE * random.random() * torch.from_numpy(random.standard_normal(piece.crops.shape)).float()
        crops = ((piece.crops + 1.0) * gain - 1.0 + noise).clamp(-1.0, 1.0)
        return dataclasses.replace(piece, crops=crops.flip(-1) if random.random() < 0.5 else crops)


def piece_of(clip: FaceClip, features: Float[np.ndarray, "m bands"], first: int, frames: int) -> SyncBatch:
    """Some frames of a clip with its own voice, as a batch of one."""
    pictures = torch.tensor(clip.frames[first : first + frames]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    heard = torch.tensor(features[2 * first : 2 * (first + frames)], dtype=torch.float32)
    lips_mm = clip.lips_mm if clip.lips_mm is not None else np.zeros((len(clip), 2))
    return SyncBatch(
        pictures[None], heard[None], torch.tensor(lips_mm[first : first + frames], dtype=torch.float32)[None]
    )


def stacked(pieces: list[SyncBatch]) -> SyncBatch:
    """One batch of several."""
    return SyncBatch(**{name: torch.cat([p.tensors()[name] for p in pieces]) for name in pieces[0].tensors()})


class SyncData(lightning.LightningDataModule):
    """Synthetic people who speak, the same clips as an editor's; espeak-ng must be installed.

    Args:
        folder: where clips are kept.
        clips: to train with.
        frames: of a piece.
        plan: batch size and seed.
        held_out: number of clips of other people, voices and sentences for validation.
        drawers: processes that draw clips; 0 draws them in the training process.

    Raises:
        ValueError: pieces too short to be told apart.
    """

    def __init__(
        self,
        folder: str,
        clips: TalkingClipsConfig = _CLIPS,
        frames: int = 30,
        plan: BatchPlan = _PLAN,
        held_out: int = 24,
        drawers: int = 1,
    ) -> None:
        super().__init__()
        if frames < SOUND_FEATURES:
            raise ValueError(f"a piece needs at least {SOUND_FEATURES} frames to be told apart in, got {frames}")
        place = Path(folder).expanduser()
        self.frames, self.plan, self.drawers = frames, plan, drawers
        self.parts = {
            "train": (place / "train", clips),
            "held_out": (place / "held_out", TalkingClipsConfig.held_out(held_out, clips.size)),
        }

    def prepare_data(self) -> None:
        """Draw what has not been drawn.

        Raises:
            FaceClipError, SpeechError: see :func:`recon.training.talking_clips.draw_talking_clips`.
        """
        for folder, config in self.parts.values():
            draw_talking_clips(folder, config, self.drawers)

    def _files(self, part: str) -> list[Path]:
        folder, config = self.parts[part]
        return [clip_file(folder, k) for k in range(config.count)]

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        place = StreamPlace.of_trainer(self.trainer)
        return stream_loader(SyncStream(self._files("train"), self.frames, self.plan, place), 0)

    def val_dataloader(self) -> Any:
        """The middle of each held-out clip that is long enough."""
        clips = [FaceClip.load(file) for file in self._files("held_out")]
        pieces = [
            piece_of(clip, features_of(clip), (len(clip) - self.frames) // 2, self.frames)
            for clip in clips
            if len(clip) >= self.frames
        ]
        size = self.plan.batch_size
        batches = [stacked(pieces[start : start + size]) for start in range(0, len(pieces), size)]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: SyncBatch, device: torch.device, dataloader_idx: int) -> SyncBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
