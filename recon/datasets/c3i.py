"""C3I-SynFace: pictures, ray depth and poses in a Z-up world (Basak et al. 2023, Data in Brief)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from recon.datasets.c3i_world import FIELD_OF_VIEW_DEG, Capture, world_rotation
from recon.datasets.record import (
    DamagedSample,
    FaceReader,
    FaceRecord,
    existing_folder,
    read_bytes,
    read_picture,
    read_text,
)
from recon.io.read_exr import ExrError, decode_exr
from recon.io.regular_files import MAX_FILE_BYTES

DepthMeaning = Literal["ray", "planar"]

_PICTURE = re.compile(r"(rgb|image)_?(\d+)\.jpe?g", re.IGNORECASE)
_NUMBER = r"(-?\d{1,20}(?:\.\d*)?(?:e-?\d+)?)"
_PLACE = re.compile(rf"\({_NUMBER}, {_NUMBER}, {_NUMBER}\)")
_ANGLES = re.compile(rf"Yaw {_NUMBER} Pitch {_NUMBER} Roll {_NUMBER}")
_LINES = ("Camera Location: ", "Head Point Location: ", "Camera Rotation: ", "Head Rotation: ")
_MAX_TEXT_BYTES = 10_000
_FAR_M = 100.0
"""Depth beyond this is background."""


class C3iReader(FaceReader):
    """The depth set and the head-pose set, in both namings (``rgb_12.jpg`` and ``rgb0012.jpg``).

    Args:
        root: folder with ``male`` and ``female``.
        depth: what the EXR holds: ``"ray"``, the distance from the camera as published, or ``"planar"``, as newer
            Blender versions write.
        field_of_view_deg: horizontal; the documents disagree, 60 is the one most often stated.

    Raises:
        FileNotFoundError: no such folder, or no pictures below it.
    """

    def __init__(
        self, root: str | Path, depth: DepthMeaning = "ray", field_of_view_deg: float = FIELD_OF_VIEW_DEG
    ) -> None:
        super().__init__()
        if depth not in ("ray", "planar"):
            raise ValueError(f"depth must be 'ray' or 'planar', got {depth!r}")
        self.root = existing_folder(root)
        self.depth: DepthMeaning = depth
        self.field_of_view_deg = field_of_view_deg
        self._pictures = sorted(path for path in self.root.rglob("*") if _PICTURE.fullmatch(path.name))
        if not self._pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures named like rgb_12.jpg or image0012.jpg")

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The picture files, in the order of the samples."""
        return tuple(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root."""
        return self._pictures[index].relative_to(self.root).as_posix()

    def data_file(self, index: int) -> Path:
        """The text file of a sample.

        Raises:
            DamagedSample: there is none.
        """
        text = _beside(self._pictures[index], "data", "txt")
        if text is None:
            raise DamagedSample(self.name(index), "data_<number>.txt is missing")
        return text

    def capture(self, index: int) -> Capture:
        """Where the camera and the head of a sample are, without reading its picture.

        Raises:
            DamagedSample: its text file is missing or damaged.
        """
        return _parsed(self.name(index), self.data_file(index))[0]

    def __getitem__(self, index: int) -> FaceRecord:
        path = self._pictures[index]
        name = self.name(index)
        image = read_picture(name, path)
        text = self.data_file(index)
        capture, angles = _parsed(name, text)
        intrinsics = _intrinsics(image.shape[:2], self.field_of_view_deg)
        exr = _beside(path, "depthExr", "exr")
        depth = None if exr is None else self._depth(name, exr, image.shape[:2], intrinsics)
        rotation, translation_mm = capture.head_to_camera
        person = next((part for part in reversed(path.parts[:-1]) if part.isdecimal()), None)
        return FaceRecord(
            name=name,
            image=image,
            depth_mm=depth,
            rotation=rotation[0].numpy(),
            translation_mm=translation_mm[0].numpy(),
            intrinsics=intrinsics,
            published_angles_deg=angles,
            identity_number=None if person is None else int(person),
        )

    def _depth(self, name: str, path: Path, size: tuple[int, ...], intrinsics: np.ndarray) -> np.ndarray:
        try:
            channels = decode_exr(read_bytes(name, path, MAX_FILE_BYTES))
        except ExrError as error:
            raise DamagedSample(name, f"{path.name}: {error}") from None
        depth_m = channels.get("R", next(iter(channels.values())))
        if depth_m.shape != tuple(size):
            raise DamagedSample(name, f"{path.name} has {depth_m.shape} px, the picture {tuple(size)}")
        seen = np.isfinite(depth_m) & (depth_m > 0.0) & (depth_m < _FAR_M)
        depth_mm = np.where(seen, depth_m, 0.0).astype(np.float64) * 1000.0
        if self.depth == "ray":
            down, across = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
            x = (across - intrinsics[0, 2]) / intrinsics[0, 0]
            y = (down - intrinsics[1, 2]) / intrinsics[1, 1]
            depth_mm /= np.sqrt(1.0 + x * x + y * y)
        return depth_mm.astype(np.float32)


def _beside(picture: Path, stem: str, suffix: str) -> Path | None:
    match = _PICTURE.fullmatch(picture.name)
    assert match is not None
    paths = (picture.with_name(f"{stem}{underscore}{match.group(2)}.{suffix}") for underscore in ("_", ""))
    return next((path for path in paths if path.exists()), None)


def _parsed(name: str, path: Path) -> tuple[Capture, tuple[float, float, float]]:
    lines = read_text(name, path, _MAX_TEXT_BYTES).strip().splitlines()
    if len(lines) != 4 or not all(line.startswith(start) for line, start in zip(lines, _LINES, strict=True)):
        raise DamagedSample(name, f"{path.name} does not hold the four lines {', '.join(_LINES)}")
    found = [(_PLACE if k < 2 else _ANGLES).search(line) for k, line in enumerate(lines)]
    numbers = [[float(x) for x in match.groups()] for match in found if match is not None]
    if len(numbers) != 4:
        raise DamagedSample(name, f"{path.name} has a line without three numbers")
    rows = torch.tensor(numbers, dtype=torch.float64)
    camera_rotation, head_rotation = world_rotation(rows[2:3]), world_rotation(rows[3:4])
    capture = Capture(torch.zeros(1, dtype=torch.int64), rows[0:1], rows[1:2], camera_rotation, head_rotation)
    yaw, pitch, roll = numbers[3]
    return capture, (yaw, pitch, roll)


def _intrinsics(size: tuple[int, ...], field_of_view_deg: float) -> np.ndarray:
    height, width = size
    focal = 0.5 * width / math.tan(0.5 * math.radians(field_of_view_deg))
    return np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
