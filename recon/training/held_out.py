"""Faces and people that are never trained on: a network is measured by them, and its best weights are chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch.utils.data import DataLoader

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.batch import TrainingBatch
from recon.training.module import FaceModelConfig
from recon.training.stream import StreamPlace

HELD_OUT_SEED = 7_919_000
"""Far from every training seed, so that no held-out face is ever trained on."""


@dataclasses.dataclass(frozen=True)
class HeldOutConfig:
    """Synthetic faces that are not trained on.

    Attributes:
        synthesis: what varies in them; ``None`` is as in training, or as :class:`recon.synthesis.SynthesisConfig` has it where
            training has no synthetic faces.
        count: their number.

    Raises:
        ValueError: no face.
    """

    synthesis: SynthesisConfig | None = None
    count: int = 256

    def __post_init__(self) -> None:
        _check_count(self.count)


@dataclasses.dataclass(frozen=True)
class HeldOutPeople:
    """People of a set of photos who are not trained on, or synthetic faces instead.

    Attributes:
        share: of the people in the set; 0 takes synthetic faces, whose depth is known too.
        count: of their photos, or of the synthetic faces, at most.
        synthesis: what varies in the synthetic ones; ``None`` is as :class:`recon.synthesis.SynthesisConfig` has it.

    Raises:
        ValueError: the share is not in [0, 1), or there is no photo.
    """

    share: float = 0.0
    count: int = 256
    synthesis: SynthesisConfig | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise ValueError(
                f"the share of people held out must lie in [0, 1), got {self.share}; 0 holds synthetic faces out instead"
            )
        _check_count(self.count)


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"held_out.count must be at least 1, got {count}: weights are chosen by what is held out")


def share_in_batches(count: int, batch_size: int, trainer: Any) -> list[list[int]]:
    """Numbers of held-out samples in batches: those that a trainer's process measures; without a trainer all.

    Args:
        count: of the samples of all processes.
        batch_size: samples in a batch.
        trainer: Lightning's, or ``None``.
    """
    place = StreamPlace.of_trainer(trainer)
    mine = list(range(place.rank, count, place.world))
    return [mine[k : k + batch_size] for k in range(0, len(mine), batch_size)]


class HeldOutFaces:
    """Synthetic faces of a seed of their own, rendered when they are first asked for.

    Args:
        synthesis: what varies in them.
        face_model: whose they are.
        size: side of the pictures, px.
        count: their number.
    """

    def __init__(self, synthesis: SynthesisConfig, face_model: FaceModelConfig, size: int, count: int) -> None:
        self.synthesis, self.face_model, self.size, self.count = synthesis, face_model, size, count
        self._batches: list[TrainingBatch] = []

    def loader(self, batch_size: int, trainer: Any) -> Any:
        """A loader of this process's share.

        Args:
            batch_size: faces in a batch.
            trainer: Lightning's, or ``None``.
        """
        if not self._batches:
            model = bfm.load(self.face_model.name, self.face_model.path)
            sampler = FaceSampler(model, self.synthesis, HELD_OUT_SEED, (self.size, self.size), "cpu")
            parts = share_in_batches(self.count, batch_size, trainer)
            self._batches = [TrainingBatch.of(sampler.batch(part)) for part in parts]
        return DataLoader(self._batches, batch_size=None, shuffle=False)  # type: ignore[arg-type]
