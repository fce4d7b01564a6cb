"""Photos with labels of pose and landmarks: 300W-LP, the labelled source of the paper's step 2.

Its ``.mat`` files hold 68 points, the pose, and coefficients of the Basel model as 3DDFA trimmed it. With that face model
(``300wlp``) everything supervises. Another face model has other components: landmarks and rotation supervise, and the
losses on coefficients and shapes are left out, because their labels are not known.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bfm.landmarks import five_points_of_68
from bfm.loaders.w300lp import LabelScale, read_label_scale
from bfm.registry import model_status
from recon.camera import DEFAULT_DISTANCE_MM, PerspectiveCamera
from recon.datasets import DamagedSample, FaceRecord, W300LPReader
from recon.datasets.pose_conventions import angles_to_matrix
from recon.detection.align import PX_PER_MM_AT_224, AlignmentError, align
from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.pictures import picture_fault
from recon.io.regular_files import FileKindError, open_regular
from recon.synthesis import SynthesisConfig
from recon.training.augment import Augmentation
from recon.training.batch import TrainingBatch
from recon.training.held_out import HeldOutFaces, HeldOutPeople, share_in_batches
from recon.training.module import FaceModelConfig
from recon.training.photo_data import ReplacedPhotos, photo_loader
from recon.training.photos import PhotoSetError
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace

_LABEL_MODEL = "300wlp"
_PLAN = BatchPlan(batch_size=5)
_HELD_OUT = HeldOutPeople(count=256)
logger = logging.getLogger(__name__)


class LabelledPhotos(Dataset[TrainingBatch]):
    """A folder of 300W-LP or AFLW2000-3D as batches of one, framed upright as networks see faces.

    300W-LP is stored with its mirrored half (the folders ``*_Flip``), so nothing is mirrored here. Photos whose header cannot be
    read, or that lack one of their files, are left out from the beginning, with a warning that counts them.

    Args:
        folder: the data set, or some of its folders' parent.
        size: side of the crops in px.
        scale: of the labels' coefficients, for the face model ``300wlp``; ``None`` leaves them out.
        part: which photos, by the name of the one that a sample was made from; ``None`` takes all.

    Raises:
        PhotoSetError: no such folder, or no labelled photos of the part in it that can be read.
    """

    def __init__(
        self, folder: Path, size: int, scale: LabelScale | None = None, part: Callable[[str], bool] | None = None
    ) -> None:
        try:
            self.reader = W300LPReader(folder)
        except FileNotFoundError as error:
            raise PhotoSetError(f"no labelled photos: {error}; 300W-LP is a folder of .jpg and .mat files") from None
        self.folder, self.size, self.scale = folder, size, scale
        rows = [row for row in range(len(self.reader)) if part is None or part(self.reader.original(row))]
        if not rows:
            raise PhotoSetError(f"{folder} holds too few photos to hold some of them out; change held_out.share")
        faults = {row: fault for row in rows if (fault := _fault(self.reader.files[row]))}
        self._rows = [row for row in rows if row not in faults]
        if not self._rows:
            raise PhotoSetError(f"no labelled photos in {folder} can be read; the first: {next(iter(faults.values()))}")
        warn_left_out(logger, "labelled photos", folder, len(rows), list(faults.values()))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def originals(self) -> list[str]:
        """Of each photo, the name of the one it was made from."""
        return [self.reader.original(row) for row in self._rows]

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
        alignment = align(five_points_of_68(points), self.size, remove_roll=True)
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
        intrinsics = camera.intrinsics
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
    """300W-LP for training; held out are a share of its people, or synthetic faces.

    A test set is looked at by ``train.py test`` alone: weights that were chosen by their error on it would flatter it.

    Args:
        folder: of 300W-LP.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the order and of who is held out.
        held_out: people who are not trained on and by whom the best weights are chosen, sampled by the seed; or synthetic faces
            instead. 300W-LP does not say who is who: a person is what was made from one photo.
        augmentation: of training batches.
        test: folder of the same layout, such as AFLW2000-3D; ``None`` tests on what is held out.
        workers: processes that read.

    Raises:
        ValueError: fewer photos than a batch takes.
        PhotoSetError: a folder is missing or empty; raised when the data module is made.
        MissingModelFiles: the face model is ``300wlp`` and its files are not there.
    """

    def __init__(
        self,
        folder: str,
        face_model: FaceModelConfig | None = None,
        size: int = 224,
        plan: BatchPlan = _PLAN,
        held_out: HeldOutPeople = _HELD_OUT,
        augmentation: Augmentation | None = None,
        test: str | None = None,
        workers: int = 2,
    ) -> None:
        super().__init__()
        chosen = face_model or FaceModelConfig()
        scale = _label_scale(chosen)
        place = Path(folder).expanduser()
        self.size = size
        self.held_out: LabelledPhotos | None = None
        if held_out.share > 0.0:
            self.photos = LabelledPhotos(
                place, size, scale, lambda name: not _is_held_out(name, held_out.share, plan.seed)
            )
            self.held_out = LabelledPhotos(
                place, size, scale, lambda name: _is_held_out(name, held_out.share, plan.seed)
            )
        else:
            self.photos = LabelledPhotos(place, size, scale)
        self.test = None if test is None else LabelledPhotos(Path(test).expanduser(), size, scale)
        self.plan, self.augmentation, self.workers = plan, augmentation, workers
        EndlessOrder(len(self.photos), plan)  # says now if there are too few
        self._faces = HeldOutFaces(held_out.synthesis or SynthesisConfig(), chosen, size, held_out.count)

    def train_dataloader(self) -> Any:
        """Photos from the module's next step on."""
        place = StreamPlace.of_trainer(self.trainer)
        return photo_loader(self.photos, self.plan, place, self.augmentation, self.workers)

    def val_dataloader(self) -> Any:
        """Held-out photos in batches, each process its share; or held-out synthetic faces."""
        if self.held_out is None:
            return self._faces.loader(self.plan.batch_size, self.trainer)
        return self._measured(ReplacedPhotos(self.held_out), self._faces.count)

    def test_dataloader(self) -> Any:
        """All photos of the test set, or what is held out."""
        # Nothing stands for a damaged photo here: it would count twice in a figure.
        return self.val_dataloader() if self.test is None else self._measured(self.test, len(self.test))

    def _measured(self, photos: LabelledPhotos | ReplacedPhotos, at_most: int) -> DataLoader[TrainingBatch]:
        batches = share_in_batches(min(at_most, len(photos)), self.plan.batch_size, self.trainer)
        return DataLoader(photos, batch_sampler=batches, collate_fn=TrainingBatch.cat)

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)


def _is_held_out(name: str, share: float, seed: int) -> bool:
    """Whether somebody is held out: it hangs on the name and the seed alone, and not on who else is in the set."""
    digest = hashlib.sha256(f"{seed} {name}".encode("utf-8", errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def _label_scale(face_model: FaceModelConfig) -> LabelScale | None:
    if face_model.name != _LABEL_MODEL:
        return None
    folder = model_status(face_model.name, face_model.path).folder
    assert folder is not None
    return read_label_scale(folder)
