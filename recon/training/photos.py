"""Photos for training: found, framed and marked once, then read from disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import Dataset

from recon.export.png import encode_png
from recon.faces import align
from recon.faces.image import ImageError, read_image
from recon.io.files import write_file, write_files
from recon.io.pictures import read_rgb
from recon.reconstructor import NoFaceError, Reconstructor
from recon.training.batch import TrainingBatch

_INDEX, _LABELS = "photos.json", "photos.safetensors"

_MIRROR_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""Which of the 68 points takes each one's place in a mirrored picture."""


class PhotoSetError(ValueError):
    """A folder of prepared photos that is missing, empty or damaged."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What preparing did: names of photos that were kept, and why the others were not."""

    kept: tuple[str, ...]
    refused: dict[str, str]


def prepare_photos(photos: Iterable[Path], out: Path, reconstructor: Reconstructor, size: int = 256) -> Prepared:
    """Find the largest face of each photo, frame it and mark its 68 points, for :class:`PhotoSet`.

    The points are those of a head fitted to the detector's. Only photos with exactly one face are kept, as in the paper's
    cleaning.

    Args:
        photos: picture files.
        out: folder to write to; it is made.
        reconstructor: with a fast quality; its detector and model are used.
        size: side of the stored crops in px; larger than training needs, so that they can be cut anew.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept, refused = [], {}
    labels: dict[str, list[np.ndarray]] = {"landmarks68_px": [], "intrinsics": []}
    for number, path in enumerate(photos):
        try:
            photo = read_image(path)
            faces = reconstructor.detect(photo)
            if len(faces) != 1:
                raise NoFaceError(f"{len(faces)} faces in {path}, expected one")
            head = reconstructor.fit_face(photo, faces[0])
            alignment = align(faces[0].points5, size)
        except (NoFaceError, ImageError, OSError, ValueError) as error:
            refused[str(path)] = str(error)
            continue
        name = f"{number:07d}.png"
        write_file(out / name, encode_png(alignment.crop(photo.pixels)), overwrite=True)
        camera = alignment.crop_camera(head.camera)
        matrix = np.diag([float(camera.focal_px[0, 0]), float(camera.focal_px[0, 1]), 1.0])
        matrix[:2, 2] = camera.principal_px[0].numpy()
        labels["landmarks68_px"].append(alignment.crop_points(head.landmarks68))
        labels["intrinsics"].append(matrix)
        kept.append(name)
    if kept:
        tensors = {name: torch.tensor(np.stack(rows), dtype=torch.float32) for name, rows in labels.items()}
        index = json.dumps({"size": size, "names": kept}).encode()
        write_files({out / _LABELS: save(tensors), out / _INDEX: index}, overwrite=True)
    return Prepared(tuple(kept), refused)


class PhotoSet(Dataset[TrainingBatch]):
    """Photos that :func:`prepare_photos` wrote, as batches of one.

    Args:
        folder: where they are.
        size: side of the pictures in px.
        mirror: every photo a second time, mirrored.

    Raises:
        PhotoSetError: the folder or its index is missing, empty or damaged.
    """

    def __init__(self, folder: Path, size: int, mirror: bool = True) -> None:
        if not (folder / _INDEX).is_file() or not (folder / _LABELS).is_file():
            raise PhotoSetError(
                f"no prepared photos in {folder}: {_INDEX} or {_LABELS} is missing; write them with "
                "recon.training.photos.prepare_photos"
            )
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self.names: list[str] = index["names"]
        if not self.names:
            raise PhotoSetError(f"the set of photos in {folder} is empty")
        labels = load_file(folder / _LABELS)
        self.landmarks_px: Float[Tensor, "n 68 2"] = labels["landmarks68_px"]
        self.intrinsics: Float[Tensor, "n 3 3"] = labels["intrinsics"]
        if len(self.landmarks_px) != len(self.names) or len(self.intrinsics) != len(self.names):
            raise PhotoSetError(f"{folder} names {len(self.names)} photos and has labels of {len(self.landmarks_px)}")
        self.folder, self.size, self.mirror = folder, size, mirror
        self._stored_size = int(index["size"])

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
    points = batch.landmarks68_px[:, list(_MIRROR_68)].clone()
    points[..., 0] = width - points[..., 0]
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
    return TrainingBatch(batch.image.flip(-1), intrinsics, points)
