"""SynthHuman: rendered people with depth, normals and the camera (Saleh et al. 2025, "DAViD: Data-efficient and accurate vision models
from synthetic data").

A sample is ``rgb_NNNNNNN.png`` with ``alpha_NNNNNNN.png`` (how much of a pixel the person covers), ``depth_NNNNNNN.exr`` (planar depth
in cm), ``normal_NNNNNNN.exr`` (x, y, z) and ``cam_NNNNNNN.txt`` (the 3 x 3 matrix of intrinsics, px), as its description has them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from recon.datasets.record import (
    DamagedSample,
    FaceReader,
    FaceRecord,
    existing_folder,
    read_bytes,
    read_picture,
    read_text,
)
from recon.io.faults import reason
from recon.io.pictures import ImageError, read_grey
from recon.io.read_exr import ExrError, decode_exr
from recon.io.regular_files import MAX_FILE_BYTES

_PICTURE = re.compile(r"rgb_(\d{7})\.png")
_MM_PER_CM = 10.0
_FAR_CM = 10_000.0
"""Depth beyond this is background."""
_COVERED = 128
_MAX_CAMERA_BYTES = 10_000


class SynthHumanReader(FaceReader):
    """The pictures of all folders below a root.

    ``depth_mm``, ``mask`` (where the person covers half of a pixel or more), ``intrinsics``, and in ``labels`` ``normals_published``
    ``(H, W, 3)`` in the file's own frame, whose axes its description does not name.

    Args:
        root: folder of the unpacked files, or of several such folders.

    Raises:
        FileNotFoundError: no such folder, or no pictures below it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self._pictures = sorted(path for path in self.root.rglob("rgb_*.png") if _PICTURE.fullmatch(path.name))
        if not self._pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures named like rgb_0000000.png")

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root."""
        return self._pictures[index].relative_to(self.root).as_posix()

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample that are there, its picture first."""
        path = self._pictures[index]
        others = (_beside(path, stem, suffix) for stem, suffix in _OTHERS)
        return (path, *(other for other in others if other.is_file()))

    def __getitem__(self, index: int) -> FaceRecord:
        path, name = self._pictures[index], self.name(index)
        image = read_picture(name, path)
        size = image.shape[:2]
        depth_cm = _channels(name, _beside(path, "depth", "exr"), size)
        first, *others = depth_cm.values()
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            raise DamagedSample(name, f"the channels {', '.join(depth_cm)} of its depth differ")
        seen = np.isfinite(first) & (first > 0.0) & (first < _FAR_CM)
        labels = {}
        normals = _beside(path, "normal", "exr")
        if normals.exists():
            labels["normals_published"] = _normals(name, normals, size)
        return FaceRecord(
            name=name,
            image=image,
            depth_mm=np.where(seen, _MM_PER_CM * first.astype(np.float64), 0.0).astype(np.float32),
            mask=_mask(name, _beside(path, "alpha", "png"), size),
            intrinsics=_intrinsics(name, _beside(path, "cam", "txt")),
            labels=labels,
        )


_OTHERS = (("alpha", "png"), ("depth", "exr"), ("normal", "exr"), ("cam", "txt"))


def _beside(picture: Path, stem: str, suffix: str) -> Path:
    return picture.with_name(f"{stem}{picture.stem.removeprefix('rgb')}.{suffix}")


def _channels(name: str, path: Path, size: tuple[int, ...]) -> dict[str, np.ndarray]:
    try:
        channels = decode_exr(read_bytes(name, path, MAX_FILE_BYTES))
    except ExrError as error:
        raise DamagedSample(name, f"{path.name}: {error}") from None
    shape = next(iter(channels.values())).shape
    if shape != tuple(size):
        raise DamagedSample(name, f"{path.name} has {shape} px, the picture {tuple(size)}")
    return channels


def _normals(name: str, path: Path, size: tuple[int, ...]) -> Float[np.ndarray, "h w 3"]:
    channels = _channels(name, path, size)
    for names in ("XYZ", "RGB"):
        if set(names) <= set(channels):
            return np.stack([channels[key] for key in names], axis=2).astype(np.float32)
    raise DamagedSample(name, f"{path.name} has the channels {', '.join(channels)}, X, Y, Z or R, G, B are expected")


def _mask(name: str, path: Path, size: tuple[int, ...]) -> Bool[np.ndarray, "h w"] | None:
    if not path.exists():
        return None
    try:
        mask = read_grey(path) >= _COVERED
    except (OSError, ImageError) as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({reason(error)})") from None
    if mask.shape != tuple(size):
        raise DamagedSample(name, f"{path.name} has {mask.shape} px, the picture {tuple(size)}")
    return mask


def _intrinsics(name: str, path: Path) -> Float[np.ndarray, "3 3"]:
    words = read_text(name, path, _MAX_CAMERA_BYTES).split()
    try:
        matrix = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({error})") from None
    if matrix.size != 9 or not np.isfinite(matrix).all():
        raise DamagedSample(
            name, f"{path.name} holds {matrix.size} numbers, the 3 x 3 matrix of intrinsics is expected"
        )
    matrix = matrix.reshape(3, 3)
    if matrix[0, 0] <= 0.0 or matrix[1, 1] <= 0.0 or not np.allclose(matrix[2], (0.0, 0.0, 1.0)):
        raise DamagedSample(name, f"{path.name} holds no matrix of intrinsics (fx and fy positive, last row 0 0 1)")
    return matrix
