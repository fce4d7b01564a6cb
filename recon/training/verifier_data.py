"""Pairs of depth maps of drawn people for the verifier: true depth of cached faces, half of the pairs of one person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from recon.evaluation.metrics.verification import draw_pairs
from recon.networks.depth.pini import SIDE_PX
from recon.networks.depth.relief_code import relief_code
from recon.training.depth_data import CachedDepthFaces
from recon.training.face_cache import FaceCache, FaceCacheConfig, draw_caches
from recon.training.framing import CropJitter
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig
from recon.training.landmark_config import DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.stream import BatchPlan, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=32)
_HELD_OUT = HeldOutConfig(count=512)


@dataclasses.dataclass(frozen=True, eq=False)
class VerifierBatch:
    """B pairs.

    Attributes:
        first, second: ``(B, 1, 96, 96)`` depth maps, see :mod:`recon.networks.depth.relief_code`.
        same: ``(B,)`` whether they are of one person.
    """

    first: Float[Tensor, "b 1 96 96"]
    second: Float[Tensor, "b 1 96 96"]
    same: Bool[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.same)

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VerifierBatch:
        """The same batch on another device."""
        return VerifierBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> VerifierBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return VerifierBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})


class CachedPairs:
    """Pairs of faces of a cache whose people come again.

    Args:
        faces: with their depth.
        identities: how many people they are: face k is of person k modulo this number.

    Raises:
        ValueError: people of whom there are no two pictures.
    """

    def __init__(self, faces: CachedDepthFaces, identities: int) -> None:
        if not 2 <= identities <= len(faces) // 2:
            raise ValueError(
                f"pairs need at least two people and two pictures of each, got {len(faces)} faces of {identities or 'new'} people: "
                "set drawing.synthesis.identities"
            )
        self.faces, self.persons = faces, [k % identities for k in range(len(faces))]

    def batch(self, count: int, jitter: CropJitter, seed: int) -> VerifierBatch:
        """Some pairs, half of one person. Equal arguments give equal pairs."""
        pairs = draw_pairs(self.persons, count, seed)
        codes = []
        for number, indices in enumerate((pairs.first, pairs.second)):
            seen = self.faces.batch(indices.tolist(), SIDE_PX, jitter, None, 2 * seed + number)
            codes.append(relief_code(seen.depth_mm, seen.known))
        return VerifierBatch(codes[0], codes[1], torch.from_numpy(pairs.same))


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What the loader's workers iterate over."""

    folder: Path
    count: int
    identities: int
    margin: float

    def pairs(self) -> CachedPairs:
        cache = FaceCache(self.folder, self.count, maps=True)
        return CachedPairs(CachedDepthFaces(cache, self.margin), self.identities)


class PairStream(IterableDataset[VerifierBatch]):
    """Batches of pairs from a step on, for ever. With several workers, worker k makes steps k, k + n, ..."""

    def __init__(self, settings: _Stream, plan: BatchPlan, place: StreamPlace, jitter: CropJitter) -> None:
        super().__init__()
        self.settings, self.plan, self.place, self.jitter = settings, plan, place, jitter

    def __iter__(self) -> Iterator[VerifierBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        pairs, step = self.settings.pairs(), self.place.step + first
        while True:
            seed = step_seed(self.plan.seed, step, self.place.rank)
            yield pairs.batch(self.plan.batch_size, self.jitter, seed)
            step += stride


class VerifierData(lightning.LightningDataModule):
    """Pairs of drawn people; validation has other people.

    Args:
        folder: of the drawn faces.
        drawing: the faces to train with; ``synthesis.identities`` says how many people they are.
        face_model: as in the module; ``train.py`` copies it from there.
        plan: pairs a batch, and seed of their choice and framing.
        held_out: faces for validation, of other people, of whom there are as many pictures each; as many pairs are drawn.
        jitter: of the framing; ``None`` is the usual one.
        workers: processes that make pairs.

    Raises:
        ValueError: everyone is a new person.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        plan: BatchPlan = _PLAN,
        held_out: HeldOutConfig = _HELD_OUT,
        jitter: CropJitter | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__()
        if drawing.synthesis.identities < 2:
            raise ValueError(
                "a verifier needs people that come again: set drawing.synthesis.identities to 2 or more, got "
                f"{drawing.synthesis.identities}"
            )
        self.folder = Path(folder).expanduser()
        model = face_model or FaceModelConfig()
        self.caches: dict[str, FaceCacheConfig] = {
            "train": dataclasses.replace(drawing.training_faces(model), maps=True),
            "held_out": dataclasses.replace(drawing.held_out_faces(model, held_out), maps=True),
        }
        each = max(2, drawing.count // drawing.synthesis.identities)
        self.identities = {"train": drawing.synthesis.identities, "held_out": max(2, held_out.count // each)}
        synthesis = dataclasses.replace(self.caches["held_out"].synthesis, identities=self.identities["held_out"])
        self.caches["held_out"] = dataclasses.replace(self.caches["held_out"], synthesis=synthesis)
        self.plan, self.workers, self.rendering_workers = plan, workers, drawing.workers
        self.jitter = jitter or CropJitter(wide_share=0.0)
        self._held_out: list[VerifierBatch] = []

    def prepare_data(self) -> None:
        """Draw the faces that are not there yet.

        Raises:
            FaceCacheError: the folder holds other faces.
            OutputError: it cannot be written to.
        """
        draw_caches(self.folder, self.caches, self.rendering_workers)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        place = StreamPlace.of_trainer(self.trainer)
        return stream_loader(PairStream(self._settings("train"), self.plan, place, self.jitter), self.workers)

    def val_dataloader(self) -> Any:
        """Pairs of people that training does not see."""
        if not self._held_out:
            settings, size = self._settings("held_out"), self.plan.batch_size
            pairs = settings.pairs()
            batches = -(-settings.count // size)
            self._held_out = [pairs.batch(size, self.jitter, HELD_OUT_SEED + k) for k in range(batches)]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def _settings(self, name: str) -> _Stream:
        config = self.caches[name]
        return _Stream(self.folder / name, config.count, self.identities[name], config.synthesis.crop_margin)

    def transfer_batch_to_device(
        self, batch: VerifierBatch, device: torch.device, dataloader_idx: int
    ) -> VerifierBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
