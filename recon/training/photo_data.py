"""Data of the paper's step 1: unlabelled photos."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.names import printable
from recon.io.pictures import picture_fault
from recon.synthesis import SynthesisConfig
from recon.training.augment import Augmentation, augment
from recon.training.batch import TrainingBatch
from recon.training.held_out import HeldOutConfig, HeldOutFaces
from recon.training.module import FaceModelConfig
from recon.training.photos import LandmarkSource, PhotoSet, PhotoSetError
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace

logger = logging.getLogger(__name__)
_MOST_IN_A_ROW = 100
_PLAN = BatchPlan(batch_size=5)
_HELD_OUT = HeldOutConfig(count=256)


@dataclasses.dataclass(frozen=True)
class PhotoSamples:
    """What training takes from each photo.

    Attributes:
        mirror: every photo a second time, mirrored.
        landmarks: whose points are the target: the ``detector``'s, as in the paper, or the ``fit``'s; see
            :class:`recon.training.photos.PhotoSet`.
    """

    mirror: bool = True
    landmarks: LandmarkSource = "detector"


_SAMPLES = PhotoSamples()


class PhotoData(lightning.LightningDataModule):
    """Unlabelled photos (step 1), and a held-out set of synthetic faces whose truth is known.

    Photos whose header cannot be read are counted in a warning when this is made; see :class:`ReplacedPhotos`.

    Args:
        folder: of photos that ``recon prepare-photos`` wrote.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size and seed of the order; the paper's batches hold 5.
        held_out: synthetic faces for validation.
        samples: what is taken from each photo.
        augmentation: of training batches; the paper scales to [0.8, 1].
        workers: processes that read.

    Raises:
        PhotoSetError: the folder is missing or empty; raised when the data module is made.
    """

    def __init__(
        self,
        folder: str,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        plan: BatchPlan = _PLAN,
        held_out: HeldOutConfig = _HELD_OUT,
        samples: PhotoSamples = _SAMPLES,
        augmentation: Augmentation | None = None,
        workers: int = 2,
    ) -> None:
        super().__init__()
        self.photos = PhotoSet(Path(folder).expanduser(), size, samples.mirror, samples.landmarks)
        paths = [self.photos.folder / name for name in self.photos.names]
        faults = [fault for path in paths if (fault := picture_fault(path))]
        if len(faults) == len(paths):
            raise PhotoSetError(f"no photo in {printable(folder)} can be read; the first: {faults[0]}")
        warn_left_out(logger, "photos", folder, len(paths), faults)
        self.plan, self.augmentation, self.workers = plan, augmentation, workers
        EndlessOrder(len(self.photos), plan)  # says now if there are too few
        synthesis = held_out.synthesis or SynthesisConfig()
        self._faces = HeldOutFaces(synthesis, face_model or FaceModelConfig(), size, held_out.count)

    def train_dataloader(self) -> Any:
        """Photos from the module's next step on."""
        place = StreamPlace.of_trainer(self.trainer)
        return photo_loader(self.photos, self.plan, place, self.augmentation, self.workers)

    def val_dataloader(self) -> Any:
        """Held-out synthetic faces; each process has its share."""
        return self._faces.loader(self.plan.batch_size, self.trainer)

    test_dataloader = val_dataloader

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)


@runtime_checkable
class Photos(Protocol):
    """A data set of batches of one."""

    def __len__(self) -> int:
        """Photos in it."""
        ...

    def __getitem__(self, index: int) -> TrainingBatch:
        """One of them."""
        ...


class ReplacedPhotos(Dataset[TrainingBatch]):
    """Photos, the damaged ones replaced by the next that can be read: one file of 100 000 must not end days of training.

    Which photo takes another's place follows from the files alone, so a resumed run sees the same. Each replaced photo is
    counted in a warning once, in every process that reads.

    Args:
        photos: raise :class:`PhotoSetError` for a photo that cannot be used.
    """

    def __init__(self, photos: Photos) -> None:
        self.photos = photos
        self._damaged: set[int] = set()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> TrainingBatch:
        """A photo.

        Raises:
            PhotoSetError: a hundred in a row cannot be used, as when a disk is gone.
        """
        total, fault = len(self.photos), PhotoSetError("no photos")
        for number in range(index, index + min(total, _MOST_IN_A_ROW)):
            try:
                return self.photos[number % total]
            except PhotoSetError as error:
                fault = error
                if number % total not in self._damaged:
                    self._damaged.add(number % total)
                    logger.warning(
                        "%d of %d photos turned out to be damaged and are replaced by others; the last: %s",
                        len(self._damaged),
                        total,
                        reason(error),
                    )
        raise PhotoSetError(f"{min(total, _MOST_IN_A_ROW)} photos in a row cannot be used; the last: {fault}")


def photo_loader(
    photos: Photos, plan: BatchPlan, place: StreamPlace, augmentation: Augmentation | None, workers: int
) -> DataLoader[TrainingBatch]:
    """Batches of photos for ever, from a place in their order on; see :class:`ReplacedPhotos` for those that are damaged."""
    return DataLoader(
        ReplacedPhotos(photos),
        batch_sampler=EndlessOrder(len(photos), plan, place),
        collate_fn=_Collate(augmentation, plan.seed),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )


class _Collate:
    """Joins photos and frames them anew; random numbers follow from the pictures, so a resumed run sees the same."""

    def __init__(self, augmentation: Augmentation | None, seed: int) -> None:
        self.augmentation, self.seed = augmentation, seed

    def __call__(self, photos: list[TrainingBatch]) -> TrainingBatch:
        batch = TrainingBatch.cat(photos)
        if self.augmentation is None:
            return batch
        key = int(batch.landmarks68_px.double().sum().item() * 1e3) & 0xFFFFFFFF
        return augment(batch, self.augmentation, torch.Generator().manual_seed(self.seed * 1_000_003 + key))
