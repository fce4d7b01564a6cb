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
from recon.training.module import FaceModelConfig
from recon.training.photos import LandmarkSource, PhotoSet, PhotoSetError
from recon.training.stream import EndlessOrder, StreamPlan
from recon.training.synthetic_data import SyntheticData

logger = logging.getLogger(__name__)
_MOST_IN_A_ROW = 100


class PhotoData(lightning.LightningDataModule):
    """Unlabelled photos (step 1), and a held-out set of synthetic faces whose truth is known.

    Photos whose header cannot be read are counted in a warning when this is made; see :class:`ReplacedPhotos`.

    Args:
        folder: of photos that ``recon prepare-photos`` wrote.
        face_model, size: as in the module; ``train.py`` copies them from there.
        batch_size: photos a step and process; the paper's is 5.
        mirror: every photo a second time, mirrored.
        augmentation: of training batches; the paper scales to [0.8, 1].
        validation: what varies in held-out synthetic faces.
        n_validation: their number.
        workers: processes that read.
        seed: of the order.
        landmarks: whose points are the target: the ``detector``'s, as in the paper, or the ``fit``'s; see :class:`PhotoSet`.

    Raises:
        PhotoSetError: the folder is missing or empty; raised when the data module is made.
    """

    def __init__(
        self,
        folder: str,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        batch_size: int = 5,
        mirror: bool = True,
        augmentation: Augmentation | None = None,
        validation: SynthesisConfig | None = None,
        n_validation: int = 256,
        workers: int = 2,
        seed: int = 0,
        landmarks: LandmarkSource = "detector",
    ) -> None:
        super().__init__()
        self.photos = PhotoSet(Path(folder).expanduser(), size, mirror, landmarks)
        paths = [self.photos.folder / name for name in self.photos.names]
        faults = [fault for path in paths if (fault := picture_fault(path))]
        if len(faults) == len(paths):
            raise PhotoSetError(f"no photo in {printable(folder)} can be read; the first: {faults[0]}")
        warn_left_out(logger, "photos", folder, len(paths), faults)
        self.plan = StreamPlan(batch_size, seed=seed)
        EndlessOrder(len(self.photos), self.plan)  # says now if there are too few
        self.augmentation, self.workers = augmentation, workers
        self._faces = SyntheticData(
            validation or SynthesisConfig(), None, face_model, size, batch_size, n_validation=n_validation
        )

    def train_dataloader(self) -> Any:
        """Photos from the module's next step on."""
        return photo_loader(self.photos, *place_in_stream(self.trainer, self.plan), self.augmentation, self.workers)

    def val_dataloader(self) -> Any:
        """See :class:`SyntheticData`."""
        self._faces.trainer = self.trainer
        return self._faces.val_dataloader()

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
    photos: Photos, plan: StreamPlan, start: int, augmentation: Augmentation | None, workers: int
) -> DataLoader[TrainingBatch]:
    """Batches of photos for ever, from a step on; see :class:`ReplacedPhotos` for those that are damaged."""
    return DataLoader(
        ReplacedPhotos(photos),
        batch_sampler=EndlessOrder(len(photos), plan, start),
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


def place_in_stream(trainer: Any, plan: StreamPlan) -> tuple[StreamPlan, int]:
    """The plan of this process, and the step at which a run goes on."""
    if trainer is None:
        return plan, 0
    placed = dataclasses.replace(plan, rank=trainer.global_rank, world=trainer.world_size)
    return placed, int(getattr(trainer.lightning_module, "batches_seen", 0))
