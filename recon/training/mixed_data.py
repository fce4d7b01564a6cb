"""Data of the paper's step 2: labelled faces mixed with unlabelled photos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from recon.training.labelled_photos import LabelledPhotoData
from recon.training.mixed import MixedBatch
from recon.training.module import FaceModelConfig
from recon.training.photo_data import PhotoData
from recon.training.synthetic_data import SyntheticData


class MixedData(lightning.LightningDataModule):
    """Labelled faces and unlabelled photos (step 2).

    Args:
        labelled: synthetic faces, or 300W-LP.
        photos: unlabelled photos; ``None`` trains on labelled faces alone.
        face_model, size: as in the module; ``train.py`` copies them from there. Those of the two data sets must agree.

    Raises:
        ValueError: the two have pictures of different sizes.
    """

    def __init__(
        self,
        labelled: SyntheticData | LabelledPhotoData,
        photos: PhotoData | None = None,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
    ) -> None:
        super().__init__()
        sizes = {size, labelled.size, *([photos.photos.size] if photos is not None else [])}
        if len(sizes) > 1:
            raise ValueError(f"labelled faces, photos and network must have one size, got {sorted(sizes)}")
        self.labelled, self.photos = labelled, photos

    def train_dataloader(self) -> Any:
        """Pairs of batches."""
        for part in (self.labelled, self.photos):
            if part is not None:
                part.trainer = self.trainer
        photos = None if self.photos is None else self.photos.train_dataloader()
        return DataLoader(_Pairs(self.labelled.train_dataloader(), photos), batch_size=None)

    def val_dataloader(self) -> Any:
        """Those that the labelled part holds out."""
        self.labelled.trainer = self.trainer
        return self.labelled.val_dataloader()

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)


class _Pairs(IterableDataset[MixedBatch]):
    def __init__(self, labelled: Any, photos: Any | None) -> None:
        super().__init__()
        self.labelled, self.photos = labelled, photos

    def __iter__(self) -> Iterator[MixedBatch]:
        if self.photos is None:
            for batch in self.labelled:
                yield MixedBatch(batch)
            return
        for batch, photos in zip(self.labelled, self.photos, strict=False):
            yield MixedBatch(batch, photos)
