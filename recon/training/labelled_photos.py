"""Photos with labels of pose and landmarks: 300W-LP, the labelled source of the paper's step 2.

Its ``.mat`` files hold 68 points, the pose, and coefficients of the Basel model as 3DDFA trimmed it. With that face model
(``300wlp``) everything supervises. Another face model has other components: landmarks and rotation supervise, and the
losses on coefficients and shapes are left out, because their labels are not known.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bfm.loaders.w300lp import LabelScale, read_label_scale
from bfm.registry import model_status
from recon.camera import DEFAULT_DISTANCE_MM, PerspectiveCamera
from recon.datasets import DamagedSample, FaceRecord, W300LPReader
from recon.evaluation.pose_errors import angles_to_matrix
from recon.faces.align import PX_PER_MM_AT_224, AlignmentError, align
from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.pictures import picture_fault
from recon.io.regular_files import FileKindError, open_regular
from recon.synthesis import SynthesisConfig
from recon.training.augment import Augmentation
from recon.training.batch import TrainingBatch
from recon.training.module import FaceModelConfig
from recon.training.photo_data import ReplacedPhotos, photo_loader, place_in_stream
from recon.training.photos import PhotoSetError
from recon.training.stream import EndlessOrder, StreamPlan
from recon.training.synthetic_data import SyntheticData

_LABEL_MODEL = "300wlp"
logger = logging.getLogger(__name__)


class LabelledPhotos(Dataset[TrainingBatch]):
    """A folder of 300W-LP or AFLW2000-3D as batches of one, framed upright as networks see faces.

    300W-LP is stored with its mirrored half (the folders ``*_Flip``), so nothing is mirrored here. Photos whose header cannot be
    read, or that lack one of their files, are left out from the beginning, with a warning that counts them.

    Args:
        folder: the data set, or some of its folders' parent.
        size: side of the crops in px.
        scale: of the labels' coefficients, for the face model ``300wlp``; ``None`` leaves them out.

    Raises:
        PhotoSetError: no such folder, or no labelled photos in it that can be read.
    """

    def __init__(self, folder: Path, size: int, scale: LabelScale | None = None) -> None:
        try:
            self.reader = W300LPReader(folder)
        except FileNotFoundError as error:
            raise PhotoSetError(f"no labelled photos: {error}; 300W-LP is a folder of .jpg and .mat files") from None
        self.folder, self.size, self.scale = folder, size, scale
        faults = {row: fault for row, path in enumerate(self.reader.files) if (fault := _fault(path))}
        self._rows = [row for row in range(len(self.reader)) if row not in faults]
        if not self._rows:
            raise PhotoSetError(f"no labelled photos in {folder} can be read; the first: {next(iter(faults.values()))}")
        warn_left_out(logger, "labelled photos", folder, len(self.reader), list(faults.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TrainingBatch:
        """One photo; raises :class:`PhotoSetError` if it or its labels cannot be used."""
        try:
            return self._framed(self.reader[self._rows[index]])
        except (DamagedSample, AlignmentError) as error:
            raise PhotoSetError(f"{self.folder}: {error}; repair it or move it out of the folder") from error

    def _framed(self, record: FaceRecord) -> TrainingBatch:
        points, angles = record.landmarks68_px, record.published_angles_deg
        if points is None or angles is None:
            raise DamagedSample(record.name, "no 68 points in it (pt2d or pt3d_68)")
        five = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
        alignment = align(five, self.size, remove_roll=True)
        # The labels belong to a weak perspective camera: it looks straight at the face, whatever its place in the photo.
        px_per_mm = PX_PER_MM_AT_224 * self.size / 224.0 / alignment.scale
        middle = alignment.photo_points(np.full((1, 2), 0.5 * self.size))
        camera = alignment.crop_camera(
            PerspectiveCamera(
                torch.from_numpy(angles_to_matrix(np.array(angles), "300wlp")).float()[None],
                torch.tensor([[0.0, 0.0, -DEFAULT_DISTANCE_MM]]),
                torch.full((1, 2), px_per_mm * DEFAULT_DISTANCE_MM),
                torch.from_numpy(middle).float(),
            )
        )
        intrinsics = torch.diag_embed(torch.cat((camera.focal_px, torch.ones(1, 1)), dim=1))
        intrinsics[:, :2, 2] = camera.principal_px
        crop = torch.from_numpy(alignment.crop(record.image).copy()).permute(2, 0, 1)[None].float() / 255.0
        marks = torch.from_numpy(alignment.crop_points(points)).float()[None]
        identity, expression = self._coefficients(record)
        return TrainingBatch(
            crop, intrinsics, marks, rotation=camera.rotation, identity=identity, expression=expression
        )

    def _coefficients(self, record: FaceRecord) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self.scale is None:
            return None, None
        try:
            found = self.scale.coefficients(record.labels["Shape_Para"], record.labels["Exp_Para"])
        except (KeyError, ValueError) as error:
            raise DamagedSample(record.name, f"no usable coefficients ({error})") from None
        return torch.from_numpy(found[0])[None], torch.from_numpy(found[1])[None]


def _fault(labels: Path) -> str:
    """What is wrong with a photo and its labels, as far as sizes and headers tell; empty if nothing."""
    try:
        open_regular(labels)[0].close()
    except (FileKindError, OSError) as error:
        return reason(error)
    return picture_fault(labels.with_suffix(".jpg"))


class LabelledPhotoData(lightning.LightningDataModule):
    """300W-LP for training; held out are a folder of the same layout (AFLW2000-3D) or synthetic faces.

    Args:
        folder: of 300W-LP.
        face_model, size: as in the module; ``train.py`` copies them from there.
        batch_size: photos a step and process.
        augmentation: of training batches.
        held_out: AFLW2000-3D, or ``None`` for synthetic faces, whose depth is known too.
        validation: what varies in the synthetic ones.
        n_validation: number of held-out faces, at most.
        workers: processes that read.
        seed: of the order.

    Raises:
        PhotoSetError: a folder is missing or empty; raised when the data module is made.
        MissingModelFiles: the face model is ``300wlp`` and its files are not there.
    """

    def __init__(
        self,
        folder: str,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        batch_size: int = 5,
        augmentation: Augmentation | None = None,
        held_out: str | None = None,
        validation: SynthesisConfig | None = None,
        n_validation: int = 256,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        scale = _label_scale(face_model or FaceModelConfig())
        self.size = size
        self.photos = LabelledPhotos(Path(folder).expanduser(), size, scale)
        self.held_out = None if held_out is None else LabelledPhotos(Path(held_out).expanduser(), size, scale)
        self.plan = StreamPlan(batch_size, seed=seed)
        EndlessOrder(len(self.photos), self.plan)  # says now if there are too few
        self.augmentation, self.workers, self.n_validation = augmentation, workers, n_validation
        self._faces = SyntheticData(
            validation or SynthesisConfig(), None, face_model, size, batch_size, n_validation=n_validation
        )

    def train_dataloader(self) -> Any:
        """Photos from the module's next step on."""
        return photo_loader(self.photos, *place_in_stream(self.trainer, self.plan), self.augmentation, self.workers)

    def val_dataloader(self) -> Any:
        """Held-out photos in batches, each process its share; or held-out synthetic faces."""
        if self.held_out is None:
            self._faces.trainer = self.trainer
            return self._faces.val_dataloader()
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        mine = list(range(rank, min(self.n_validation, len(self.held_out)), world))
        step = self.plan.batch_size
        batches = [mine[k : k + step] for k in range(0, len(mine), step)]
        return DataLoader(ReplacedPhotos(self.held_out), batch_sampler=batches, collate_fn=TrainingBatch.cat)

    test_dataloader = val_dataloader

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)


def _label_scale(face_model: FaceModelConfig) -> LabelScale | None:
    if face_model.name != _LABEL_MODEL:
        return None
    folder = model_status(face_model.name, face_model.path).folder
    assert folder is not None
    return read_label_scale(folder)
