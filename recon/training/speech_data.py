"""Voices for the speech network: sentences of espeak-ng, spoken once before training starts, in rooms and noise that change every time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from recon.speech.articulation import ARTICULATORS
from recon.speech.coarticulation import articulation
from recon.speech.features import MelConfig, log_mel
from recon.training.speech_augment import SpeechAugmentation, heard, played_slower
from recon.training.speech_corpus import SpeechCorpus, SpeechCorpusConfig, read_corpus, speak_corpus
from recon.training.stream import BatchPlan, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=16)
_CORPUS = SpeechCorpusConfig()
_AUGMENTATION = SpeechAugmentation()
_MEL = MelConfig()


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechBatch:
    """B pieces of speech.

    Attributes:
        features: ``(B, N, bands)`` log-mel.
        articulation: ``(B, N, A)`` the truth at the times of the features.
    """

    features: Float[Tensor, "b n bands"]
    articulation: Float[Tensor, "b n a"]

    def __len__(self) -> int:
        return len(self.features)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {"features": self.features, "articulation": self.articulation}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SpeechBatch:
        """The same batch on another device."""
        return SpeechBatch(
            self.features.to(device, non_blocking=non_blocking), self.articulation.to(device, non_blocking=non_blocking)
        )


@dataclasses.dataclass(frozen=True)
class SpeechClips:
    """How pieces are cut from sentences.

    Attributes:
        seconds: length of a piece.
        around_s: silence, at most, before and after a sentence.
        wordless: share of pieces in which nobody speaks.

    Raises:
        ValueError: no length, or a share that is none.
    """

    seconds: float = 3.0
    around_s: float = 0.8
    wordless: float = 0.05

    def __post_init__(self) -> None:
        if not self.seconds > 0.0 or not self.around_s >= 0.0 or not 0.0 <= self.wordless <= 1.0:
            raise ValueError(
                f"seconds must be positive, around_s at least 0 and wordless in [0, 1], got {self.seconds}, {self.around_s} and {self.wordless}"
            )


_CLIPS = SpeechClips()


class SpeechStream(IterableDataset[SpeechBatch]):
    """Batches from a step on, for ever; step n always holds the same sounds.

    Args:
        path: of a corpus, see :mod:`recon.training.speech_corpus`.
        mel: the features.
        clips: how pieces are cut.
        augmentation: what happens to them.
        plan: batch size and seed.
        place: of the first step, and of this process.
    """

    def __init__(
        self,
        path: Path,
        mel: MelConfig,
        clips: SpeechClips,
        augmentation: SpeechAugmentation,
        plan: BatchPlan,
        place: StreamPlace,
    ) -> None:
        super().__init__()
        self.path, self.mel, self.clips, self.augmentation, self.plan, self.place = (
            path,
            mel,
            clips,
            augmentation,
            plan,
            place,
        )

    def __iter__(self) -> Iterator[SpeechBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        corpus = read_corpus(self.path)
        step = self.place.step + first
        while True:
            random = np.random.default_rng(step_seed(self.plan.seed, step, self.place.rank))
            pieces = [self._piece(corpus, random) for _ in range(self.plan.batch_size)]
            sounds = torch.from_numpy(np.stack([sound for sound, _ in pieces])).float()
            truth = torch.from_numpy(np.stack([motion for _, motion in pieces])).float()
            yield SpeechBatch(log_mel(sounds, self.mel), truth)
            step += stride

    def _piece(self, corpus: SpeechCorpus, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One sound, and what the mouth does at the times of its features."""
        mel, clips = self.mel, self.clips
        n = round(clips.seconds * mel.features_per_s)
        number, other = (int(k) for k in random.integers(len(corpus), size=2))
        aside = corpus.sounds[other][: n * mel.hop] / 32768.0
        if random.random() < clips.wordless:
            silent = dataclasses.replace(self.augmentation, babble=0.0)
            hiss = 1e-4 * random.standard_normal(n * mel.hop)
            return heard(hiss, mel.rate_hz, silent, random, aside), np.zeros((n, len(ARTICULATORS)))
        factor = random.uniform(*self.augmentation.tempo)
        whole = played_slower(corpus.sounds[number] / 32768.0, factor)
        around = round(clips.around_s * mel.rate_hz)
        low, high = -around, max(1 - around, len(whole) + around - n * mel.hop)
        start = int(random.integers(low, high))
        sound = np.zeros(n * mel.hop)
        part = whole[max(0, start) : start + n * mel.hop]
        sound[max(0, -start) : max(0, -start) + len(part)] = part
        times_s = (start + mel.hop * np.arange(n)) / mel.rate_hz
        motion = articulation(corpus.phonemes[number].scaled(factor), times_s)
        return heard(sound, mel.rate_hz, self.augmentation, random, aside), motion


def whole_sentences(corpus: SpeechCorpus, mel: MelConfig, around_s: float = 0.6) -> list[SpeechBatch]:
    """Each sentence as it was spoken, with silence around it, as a batch of one."""
    around = np.zeros(round(around_s * mel.rate_hz))
    batches = []
    for sound, phonemes in zip(corpus.sounds, corpus.phonemes, strict=True):
        features = log_mel(torch.from_numpy(np.concatenate([around, sound / 32768.0, around])).float()[None], mel)
        times_s = np.arange(features.shape[1]) / mel.features_per_s - around_s
        motion = torch.from_numpy(articulation(phonemes, times_s)).float()
        batches.append(SpeechBatch(features, motion[None]))
    return batches


class SpeechData(lightning.LightningDataModule):
    """Sentences that are spoken once, before training starts; espeak-ng must be installed.

    Args:
        folder: where they are kept.
        corpus: to train with.
        clips: how pieces are cut.
        augmentation: what happens to them.
        plan: batch size and seed.
        mel: the features; ``train.py`` leaves them as the animator's.
        held_out: number of sentences of other speakers for validation.
        workers: processes that make batches; 0 makes them in the training process.

    Raises:
        ValueError: fewer than no workers, or no held-out sentence.
    """

    def __init__(
        self,
        folder: str,
        corpus: SpeechCorpusConfig = _CORPUS,
        clips: SpeechClips = _CLIPS,
        augmentation: SpeechAugmentation = _AUGMENTATION,
        plan: BatchPlan = _PLAN,
        mel: MelConfig = _MEL,
        held_out: int = 100,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}; 0 makes batches in the training process")
        self.folder = Path(folder).expanduser()
        self.clips, self.augmentation, self.plan, self.mel, self.workers = clips, augmentation, plan, mel, workers
        self.corpora = {"train": corpus, "held_out": SpeechCorpusConfig.held_out(held_out)}

    def prepare_data(self) -> None:
        """Speak what has not been spoken.

        Raises:
            SpeechError: see :func:`recon.training.speech_corpus.speak_corpus`.
        """
        for name, config in self.corpora.items():
            speak_corpus(self._path(name), config)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        return stream_loader(self._stream(self.plan, StreamPlace.of_trainer(self.trainer)), self.workers)

    def _stream(self, plan: BatchPlan, place: StreamPlace) -> Any:
        return SpeechStream(self._path("train"), self.mel, self.clips, self.augmentation, plan, place)

    @functools.cached_property
    def held_out(self) -> list[SpeechBatch]:
        """Whole sentences of speakers and of a language that are never trained on."""
        return whole_sentences(read_corpus(self._path("held_out")), self.mel)

    def val_dataloader(self) -> Any:
        """Held-out sentences."""
        return DataLoader(self.held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: SpeechBatch, device: torch.device, dataloader_idx: int) -> SpeechBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)

    def feature_statistics(self) -> tuple[Float[Tensor, " bands"], Float[Tensor, " bands"]]:
        """Mean and standard deviation of the features of some training sounds, for the network to start from."""
        plan = dataclasses.replace(self.plan, batch_size=64, seed=self.plan.seed + 1)
        batch = next(iter(self._stream(plan, StreamPlace())))
        features = batch.features.flatten(0, 1)
        return features.mean(dim=0), features.std(dim=0)
