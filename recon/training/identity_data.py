"""Drawn people who come again and again, for identity networks: aligned crops with the number of the person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

import bfm
from bfm.landmarks import five_points_of_68
from recon.networks.arcface import TEMPLATE_PX, aligned_crops
from recon.synthesis.scene.heads import sample_heads
from recon.synthesis.scene.people import ATTRIBUTE_NAMES
from recon.training.degrade import Degradation, degrade
from recon.training.face_cache import FaceCache, FaceCacheConfig, draw_caches
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig, share_in_batches
from recon.training.landmark_config import DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader, worker_steps

_PLAN = BatchPlan(batch_size=96)
_HELD_OUT = HeldOutConfig(count=1536)
_EACH_HELD_OUT = 8
"""Pictures of a person in validation."""


def n_traits(model: bfm.MorphableModel) -> int:
    """Numbers that :meth:`IdentityData.traits` has of a person."""
    return model.n_identity + model.n_albedo + len(ATTRIBUTE_NAMES)


@dataclasses.dataclass(frozen=True, eq=False)
class IdentityBatch:
    """B aligned crops.

    Attributes:
        image: ``(B, 3, 112, 112)`` sRGB code values in [0, 1].
        person: ``(B,)`` whom they show.
    """

    image: Float[Tensor, "b 3 112 112"]
    person: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.person)

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> IdentityBatch:
        """The same batch on another device."""
        return IdentityBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> IdentityBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return IdentityBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})


@dataclasses.dataclass(frozen=True)
class AlignmentJitter:
    """How far alignments lie beside the true one, and which crops are mirrored.

    Attributes:
        sigma: standard deviation of each of the five points by which faces are aligned, as a share of their root mean square distance from their middle.
        mirrored: share of the crops that are mirrored: a mirrored person counts as the same.

    Raises:
        ValueError: a share beyond [0, 1].
    """

    sigma: float = 0.04
    mirrored: float = 0.5

    def __post_init__(self) -> None:
        for name in ("sigma", "mirrored"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


class CachedPeople:
    """Aligned crops of the faces of a cache.

    Args:
        cache: of drawn faces.
        identities: how many people they are: face k is of person k modulo this number.
    """

    def __init__(self, cache: FaceCache, identities: int) -> None:
        self.cache, self.identities = cache, identities
        self.five_px = torch.from_numpy(five_points_of_68(cache.labels["landmarks520_px"][:, :68])).float()
        self._template_px = torch.tensor(TEMPLATE_PX)

    def __len__(self) -> int:
        return len(self.cache)

    def batch(
        self, indices: list[int], jitter: AlignmentJitter, degradation: Degradation | None, seed: int
    ) -> IdentityBatch:
        """Crops of some faces. Equal arguments give equal crops."""
        generator = torch.Generator().manual_seed(seed)
        five_px = self.five_px[indices]
        spread = (five_px - five_px.mean(dim=1, keepdim=True)).square().sum(dim=2).mean(dim=1).sqrt()
        noise = torch.randn(five_px.shape, generator=generator)
        five_px = five_px + jitter.sigma * spread[:, None, None] * noise
        shown = torch.from_numpy(np.stack([self.cache.picture(k)[..., :3] for k in indices]))
        crops = aligned_crops(shown.permute(0, 3, 1, 2).float() / 255.0, five_px, self._template_px)
        if degradation is not None:
            crops, _ = degrade(crops, degradation, generator)
        turned = torch.rand(len(indices), generator=generator) < jitter.mirrored
        crops = torch.where(turned[:, None, None, None], crops.flip(-1), crops)
        return IdentityBatch(crops, torch.tensor([k % self.identities for k in indices]))


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What the loader's workers iterate over; see :class:`IdentityStream`."""

    folder: Path
    count: int
    identities: int
    jitter: AlignmentJitter
    degradation: Degradation | None

    def people(self) -> CachedPeople:
        """Opened where it is used."""
        return CachedPeople(FaceCache(self.folder, self.count), self.identities)


class IdentityStream(IterableDataset[IdentityBatch]):
    """Batches from a step on, for ever: passes over the cache, each in a new order. Several workers take turns."""

    def __init__(self, settings: _Stream, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.settings, self.plan, self.place = settings, plan, place

    def __iter__(self) -> Iterator[IdentityBatch]:
        settings, plan, place = self.settings, self.plan, self.place
        people = settings.people()
        for step, indices in worker_steps(EndlessOrder(len(people), plan, place), place):
            seed = step_seed(plan.seed + 1, step, place.rank)
            yield people.batch(indices, settings.jitter, settings.degradation, seed)


class IdentityData(lightning.LightningDataModule):
    """Drawn people; validation has others, of another seed.

    Args:
        folder: of the drawn faces.
        drawing: the faces to train with; ``synthesis.identities`` says how many people they are, ``synthesis.looks`` in how many ways
            each is dressed up.
        face_model: as in the module; ``train.py`` copies it from there.
        plan: batch size, and seed of order, alignment and degradation.
        held_out: faces for validation, eight of each person.
        jitter: of the alignment in training; validation has the true points.
        degradation: what cameras and files do to training's crops; ``None`` is the usual one.
        workers: processes that make crops; 0 does it in the training process.

    Raises:
        ValueError: everyone is a new person, or nobody comes twice; fewer than two people held out; or fewer than no workers.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        plan: BatchPlan = _PLAN,
        held_out: HeldOutConfig = _HELD_OUT,
        jitter: AlignmentJitter | None = None,
        degradation: Degradation | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__()
        self.people = drawing.synthesis.identities
        if not 2 <= self.people <= drawing.count // 2:
            raise ValueError(
                "an identity network needs people that come again: set drawing.synthesis.identities to 2 or more and at most half of "
                f"drawing.count, got {self.people} of {drawing.count}"
            )
        if held_out.count < 2 * _EACH_HELD_OUT:
            raise ValueError(
                f"held_out.count must be at least {2 * _EACH_HELD_OUT}, {_EACH_HELD_OUT} pictures each of two people, got {held_out.count}"
            )
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}; 0 makes crops in the training process")
        self.folder = Path(folder).expanduser()
        model = face_model or FaceModelConfig()
        self.people_held_out = held_out.count // _EACH_HELD_OUT
        others = drawing.held_out_faces(model, held_out)
        synthesis = dataclasses.replace(others.synthesis, identities=self.people_held_out)
        self.caches: dict[str, FaceCacheConfig] = {
            "train": drawing.training_faces(model),
            "held_out": dataclasses.replace(others, synthesis=synthesis),
        }
        self.plan, self.workers, self.rendering_workers = plan, workers, drawing.workers
        self.jitter, self.degradation = jitter or AlignmentJitter(), degradation or Degradation()
        self._held_out: list[IdentityBatch] = []

    def traits(self) -> Float[Tensor, "people t"]:
        """What is known of each person to train with: coefficients of shape and albedo, sex, age, group and build, each of mean 0 and
        standard deviation 1 over all of them."""
        config = self.caches["train"]
        model = bfm.load(config.face_model.name, config.face_model.path)
        people = sample_heads(model, config.synthesis, config.seed, range(self.people)).people
        told = torch.cat((people.identity, people.albedo, people.attributes), dim=1)
        return (told - told.mean(dim=0)) / told.std(dim=0).clamp_min(1e-6)

    def prepare_data(self) -> None:
        """Draw the faces that are not there yet.

        Raises:
            ValueError: the module expects another number of people.
            FaceCacheError: the folder holds other faces.
            OutputError: it cannot be written to.
        """
        module = getattr(self.trainer, "lightning_module", None)
        told = getattr(module, "people", self.people)
        if told != self.people:
            raise ValueError(f"model.people is {told} and the data hold {self.people} people: make them equal")
        draw_caches(self.folder, self.caches, self.rendering_workers)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        place = StreamPlace.of_trainer(self.trainer)
        config = self.caches["train"]
        settings = _Stream(self.folder / "train", config.count, self.people, self.jitter, self.degradation)
        return stream_loader(IdentityStream(settings, self.plan, place), self.workers)

    def val_dataloader(self) -> Any:
        """People that training does not see, aligned by the true points and as they were drawn."""
        if not self._held_out:
            config = self.caches["held_out"]
            people = CachedPeople(FaceCache(self.folder / "held_out", config.count), self.people_held_out)
            # Person by person, so that any part of them has pairs of one.
            order = sorted(range(len(people)), key=lambda face: (face % self.people_held_out, face))
            shares = share_in_batches(len(people), self.plan.batch_size, self.trainer)
            parts = [[order[place] for place in share] for share in shares]
            exact = AlignmentJitter(0.0, 0.0)
            self._held_out = [people.batch(part, exact, None, HELD_OUT_SEED) for part in parts]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(
        self, batch: IdentityBatch, device: torch.device, dataloader_idx: int
    ) -> IdentityBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
