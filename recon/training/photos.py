"""Photos for training: found, framed and marked once, then read from disk."""

from __future__ import annotations

import json
from pathlib import Path

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
from recon.io.pictures import ImageError, read_rgb
from recon.training.batch import TrainingBatch

INDEX, LABELS = "photos.json", "photos.safetensors"
"""Files of a set of prepared photos: names and size of the crops, and what is known of each. The index is written last."""


class PhotoSetError(ValueError):
    """A folder of prepared photos that is missing, empty or damaged."""


class PhotoSet(Dataset[TrainingBatch]):
    """Photos that :func:`recon.training.preparing.prepare_photos` wrote, as batches of one.

    Args:
        folder: where they are.
        size: side of the pictures in px.
        mirror: every photo a second time, mirrored.

    Raises:
        PhotoSetError: the folder or its index is missing, empty or damaged.
    """

    def __init__(self, folder: Path, size: int, mirror: bool = True) -> None:
        if not (folder / INDEX).is_file() or not (folder / LABELS).is_file():
            raise PhotoSetError(
                f"no prepared photos in {folder}: {INDEX} or {LABELS} is missing; write them with "
                "recon.training.preparing.prepare_photos, or run that again if it was interrupted"
            )
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.names: list[str] = [str(name) for name in index["names"]]
            self._stored_size = int(index["size"])
            labels = load_file(folder / LABELS)
            self.landmarks_px: Float[Tensor, "n 68 2"] = labels["landmarks68_px"]
            self.intrinsics: Float[Tensor, "n 3 3"] = labels["intrinsics"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise PhotoSetError(
                f"the set of photos in {folder} is damaged ({reason(error)}): prepare it again"
            ) from error
        if not self.names:
            raise PhotoSetError(f"the set of photos in {folder} is empty")
        if len(self.landmarks_px) != len(self.names) or len(self.intrinsics) != len(self.names):
            raise PhotoSetError(f"{folder} names {len(self.names)} photos and has labels of {len(self.landmarks_px)}")
        self.folder, self.size, self.mirror = folder, size, mirror

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> TrainingBatch:
        """One photo; raises :class:`PhotoSetError` if it cannot be read."""
        row, mirrored = (index // 2, bool(index % 2)) if self.mirror else (index, False)
        path = self.folder / self.names[row]
        try:
            picture = Image.fromarray(read_rgb(path)).resize((self.size, self.size), Image.Resampling.BICUBIC)
        except (ImageError, OSError) as error:
            raise PhotoSetError(f"cannot read {path}: {error}") from error
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255.0
        scale = self.size / self._stored_size
        intrinsics = self.intrinsics[row : row + 1].clone()
        intrinsics[:, :2] *= scale
        batch = TrainingBatch(image, intrinsics, scale * self.landmarks_px[row : row + 1])
        return mirrored_photo(batch) if mirrored else batch


def mirrored_photo(batch: TrainingBatch) -> TrainingBatch:
    """Photos seen in a mirror: picture, points and principal point. Other labels are left out: a face model's coefficients
    of the mirrored face are not known."""
    width = float(batch.size[1])
    points = batch.landmarks68_px[:, list(MIRROR_68)].clone()
    points[..., 0] = width - points[..., 0]
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
    return TrainingBatch(batch.image.flip(-1), intrinsics, points)
