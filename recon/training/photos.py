"""Photos for training, read from the crops and landmarks that ``recon prepare-photos`` stored."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset

from bfm.landmarks import MIRROR_68
from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.pictures import ImageError, read_grey, read_rgb
from recon.training.batch import TrainingBatch

logger = logging.getLogger(__name__)

INDEX, LABELS = "photos.json", "photos.safetensors"
"""Files of a set of prepared photos: names and size of the crops, and what is known of each. The index is written last."""

LandmarkSource = Literal["detector", "fit"]
"""Whose 68 points are the training target: those that a detector found, as in the paper, or those of the fitted head."""
TENSOR_OF_SOURCE = {"detector": "landmarks68_detector_px", "fit": "landmarks68_px"}
"""The labels' names; a row of nan stands for a face without such points."""


class PhotoSetError(ValueError):
    """A folder of prepared photos that is missing, empty or damaged."""


class PhotoSet(Dataset[TrainingBatch]):
    """Photos that ``recon prepare-photos`` wrote, as batches of one, with the masks of visible skin that it stored.

    Photos without the landmarks asked for are left out, with a warning that counts them. Sets that were prepared before masks
    and the detector's landmarks were stored can be read with ``landmarks="fit"``, without masks.

    Args:
        folder: where they are.
        size: side of the pictures in px.
        mirror: every photo a second time, mirrored.
        landmarks: which are the target.

    Raises:
        PhotoSetError: the folder or its index is missing, empty or damaged, or has no such landmarks.
    """

    def __init__(self, folder: Path, size: int, mirror: bool = True, landmarks: LandmarkSource = "detector") -> None:
        if landmarks not in TENSOR_OF_SOURCE:
            raise ValueError(f"landmarks must be detector or fit, got {landmarks!r}")
        if not (folder / INDEX).is_file() or not (folder / LABELS).is_file():
            raise PhotoSetError(
                f"no prepared photos in {folder}: {INDEX} or {LABELS} is missing; write them with "
                "recon prepare-photos, or run that again if it was interrupted"
            )
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.names: list[str] = [str(name) for name in index["names"]]
            self._stored_size = int(index["size"])
            masks: list[str] | None = index.get("masks")
            labels = load_file(folder / LABELS)
            fitted: Float[Tensor, "n 68 2"] = labels["landmarks68_px"]
            self.landmarks_px: Float[Tensor, "n 68 2"] | None = labels.get(TENSOR_OF_SOURCE[landmarks])
            self.intrinsics: Float[Tensor, "n 3 3"] = labels["intrinsics"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise PhotoSetError(
                f"the set of photos in {folder} is damaged ({reason(error)}): prepare it again"
            ) from error
        if not self.names:
            raise PhotoSetError(f"the set of photos in {folder} is empty")
        if len(fitted) != len(self.names) or len(self.intrinsics) != len(self.names):
            raise PhotoSetError(f"{folder} names {len(self.names)} photos and has labels of {len(fitted)}")
        if self.landmarks_px is None:
            raise PhotoSetError(
                f"{folder} holds no landmarks of a detector, because an earlier version prepared it: prepare the photos again "
                "into another folder with recon prepare-photos, or train on those of the fitted heads with landmarks: fit"
            )
        if len(self.landmarks_px) != len(self.names) or (masks is not None and len(masks) != len(self.names)):
            raise PhotoSetError(f"the set of photos in {folder} is damaged (labels of other photos): prepare it again")
        self.masks = None if masks is None else [str(name) for name in masks]
        self.folder, self.size, self.mirror = folder, size, mirror
        self._leave_out_without_landmarks(landmarks)

    def _leave_out_without_landmarks(self, landmarks: LandmarkSource) -> None:
        assert self.landmarks_px is not None
        has_landmarks = self.landmarks_px.isfinite().flatten(1).all(dim=1)
        rows = torch.nonzero(has_landmarks).flatten().tolist()
        if not rows:
            raise PhotoSetError(f"no photo in {self.folder} has landmarks of the {landmarks}: choose the other kind")
        faults = [
            f"{self.names[row]}: no landmarks of the {landmarks}"
            for row in torch.nonzero(~has_landmarks).flatten().tolist()
        ]
        warn_left_out(logger, "photos", self.folder, len(self.names), faults)
        self.names = [self.names[row] for row in rows]
        self.masks = None if self.masks is None else [self.masks[row] for row in rows]
        self.landmarks_px, self.intrinsics = self.landmarks_px[has_landmarks], self.intrinsics[has_landmarks]

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> TrainingBatch:
        """One photo; raises :class:`PhotoSetError` if it cannot be read."""
        row, mirrored = (index // 2, bool(index % 2)) if self.mirror else (index, False)
        assert self.landmarks_px is not None
        pixels = _resized(self.folder / self.names[row], self.size, Image.Resampling.BICUBIC)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255.0
        face_mask = None
        if self.masks is not None:
            mask = _resized(self.folder / self.masks[row], self.size, Image.Resampling.BILINEAR, grey=True)
            face_mask = torch.from_numpy(mask)[None, None].float() / 255.0
        scale = self.size / self._stored_size
        intrinsics = self.intrinsics[row : row + 1].clone()
        intrinsics[:, :2] *= scale
        batch = TrainingBatch(image, intrinsics, scale * self.landmarks_px[row : row + 1], face_mask=face_mask)
        return mirrored_photo(batch) if mirrored else batch


def _resized(path: Path, size: int, how: Image.Resampling, *, grey: bool = False) -> np.ndarray:
    """The pixels of a file at another size, ``(size, size, 3)`` or ``(size, size)`` uint8."""
    try:
        picture = Image.fromarray(read_grey(path) if grey else read_rgb(path))
    except (ImageError, OSError) as error:
        raise PhotoSetError(f"cannot read {path}: {error}") from error
    return np.array(picture.resize((size, size), how))


def mirrored_photo(batch: TrainingBatch) -> TrainingBatch:
    """Photos seen in a mirror: picture, mask, points and principal point. Other labels are left out: a face model's
    coefficients of the mirrored face are not known."""
    width = float(batch.size[1])
    points = batch.landmarks68_px[:, list(MIRROR_68)].clone()
    points[..., 0] = width - points[..., 0]
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
    face_mask = None if batch.face_mask is None else batch.face_mask.flip(-1)
    return TrainingBatch(batch.image.flip(-1), intrinsics, points, face_mask=face_mask)
