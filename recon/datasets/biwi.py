"""BIWI Kinect Head Pose (Fanelli et al. 2013): sequences 01 to 24 of pictures, depth and poses."""

from __future__ import annotations

import dataclasses
import re
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.datasets.pose_conventions import FLIP_Y_Z, matrix_to_angles
from recon.datasets.record import (
    DamagedSample,
    FaceReader,
    FaceRecord,
    existing_folder,
    read_bytes,
    read_picture,
    read_text,
)

_MAX_POSE_BYTES = 10_000
_MAX_DEPTH_SIDE = 2048
_POSE = re.compile(r"frame_(\d{5})_pose\.txt")


@dataclasses.dataclass(frozen=True, eq=False)
class BiwiPose:
    """A head's pose in one frame.

    Attributes:
        rotation_published: ``(3, 3)`` as written: head to Kinect frame (y down, z away), the head's axes turned alike.
        translation_mm: ``(3,)`` of the head in our camera frame.
    """

    rotation_published: Float[np.ndarray, "3 3"]
    translation_mm: Float[np.ndarray, " 3"]

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """``(3, 3)`` head to camera in our frame: between two half turns about x."""
        return FLIP_Y_Z @ self.rotation_published @ FLIP_Y_Z

    @property
    def angles_deg(self) -> Float[np.ndarray, " 3"]:
        """``(3,)`` yaw, pitch, roll as the field computes them, convention ``biwi``."""
        return matrix_to_angles(self.rotation, "biwi")


class BiwiReader(FaceReader):
    """Frames of all sequences. Depth and pose are the depth camera's, which does not coincide with the colour camera.

    ``published_angles_deg`` follow from the transposed rotation as the field computes them; ``translation_mm`` is the head
    in our camera frame (y up, z to the viewer). ``labels["depth_camera_mm"]`` is the depth picture.

    Raises:
        FileNotFoundError: no such folder, or no poses below it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self.poses = sorted(path for path in self.root.rglob("frame_*_pose.txt") if _POSE.fullmatch(path.name))
        if not self.poses:
            raise FileNotFoundError(f"{self.root} holds no frame_NNNNN_pose.txt")

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> FaceRecord:
        path = self.poses[index]
        name = str(path.relative_to(self.root)).removesuffix("_pose.txt")
        pose = read_pose(path, name)
        picture = path.with_name(path.name.replace("_pose.txt", "_rgb.png"))
        image = read_picture(name, picture)
        yaw, pitch, roll = pose.angles_deg.tolist()
        labels = {"rotation_published": pose.rotation_published}
        depth = path.with_name(path.name.replace("_pose.txt", "_depth.bin"))
        if depth.exists():
            labels["depth_camera_mm"] = read_depth(name, read_bytes(name, depth))
        return FaceRecord(
            name=name,
            image=image,
            translation_mm=pose.translation_mm,
            published_angles_deg=(yaw, pitch, roll),
            identity_number=sequence_of(path),
            labels=labels,
        )


def read_pose(path: Path, name: str) -> BiwiPose:
    """The pose in a ``frame_NNNNN_pose.txt``: three rows of a rotation, then the head's place in mm.

    Args:
        path: the file.
        name: of the sample, for messages.

    Raises:
        DamagedSample: missing, not twelve finite numbers, or no rotation.
    """
    words = read_text(name, path, _MAX_POSE_BYTES).split()
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({error})") from None
    if numbers.size != 12 or not np.isfinite(numbers).all():
        raise DamagedSample(name, f"{path.name} holds {numbers.size} numbers, 3 x 3 and 3 are expected")
    rotation = numbers[:9].reshape(3, 3)
    if not _is_rotation(rotation):
        raise DamagedSample(name, f"{path.name} holds no rotation matrix")
    return BiwiPose(rotation, numbers[9:] * np.array([1.0, -1.0, -1.0]))


@dataclasses.dataclass(frozen=True, eq=False)
class BiwiCalibration:
    """One camera of a sequence, as its ``.cal`` file says.

    Attributes:
        matrix: ``(3, 3)`` intrinsics, px.
        rotation, translation_mm: from the depth camera's frame to this camera's: x = rotation x_depth + translation.
        size: (H, W) of its pictures, px.
    """

    matrix: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    translation_mm: Float[np.ndarray, " 3"]
    size: tuple[int, int]


def read_calibration(path: Path, name: str) -> BiwiCalibration:
    """A ``depth.cal`` or ``rgb.cal``: intrinsics, four or five numbers of distortion, rotation, translation, width and height; the
    papers do not describe the files, this is what public programs that read them agree on.

    Args:
        path: the file.
        name: of the sample, for messages.

    Raises:
        DamagedSample: missing, not as many finite numbers, no camera matrix, no rotation, or pictures that are distorted.
    """
    try:
        numbers = np.array(read_text(name, path, _MAX_POSE_BYTES).split(), dtype=np.float64)
    except ValueError as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({error})") from None
    if len(numbers) not in (27, 28):
        raise DamagedSample(name, f"{path.name} holds {len(numbers)} numbers, 27 or 28 are expected")
    if not np.isfinite(numbers).all():
        raise DamagedSample(name, f"{path.name} holds numbers that are not finite")
    matrix, rotation = numbers[:9].reshape(3, 3), numbers[-14:-5].reshape(3, 3)
    if not (matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0) or np.abs(matrix[2] - [0.0, 0.0, 1.0]).max() > 1e-6:
        raise DamagedSample(name, f"{path.name} holds no camera matrix")
    if not _is_rotation(rotation):
        raise DamagedSample(name, f"{path.name} holds no rotation matrix")
    if np.any(numbers[9:-14] != 0.0):
        raise DamagedSample(
            name, f"{path.name} tells of distortion {numbers[9:-14].tolist()}, which is not undone here"
        )
    return BiwiCalibration(matrix, rotation, numbers[-5:-2], (int(numbers[-1]), int(numbers[-2])))


def _is_rotation(matrix: np.ndarray) -> bool:
    near = np.abs(matrix).max() <= 2.0 and np.abs(matrix @ matrix.T - np.eye(3)).max() <= 1e-2
    return bool(near and np.linalg.det(matrix) > 0.0)


def sequence_of(path: Path) -> int | None:
    """The number of a file's sequence, who is one person; ``None`` if no folder above it is a number."""
    return next((int(part) for part in reversed(path.parts[:-1]) if part.isdecimal()), None)


def read_depth(name: str, data: bytes) -> np.ndarray:
    """Depth ``(H, W)`` float32 mm, 0 where the sensor saw nothing.

    Runs of (how many empty pixels, how many values, the values), after width and height: the format of the data set's
    own C++ sample.

    Raises:
        DamagedSample: the runs do not fill the picture exactly.
    """
    try:
        width, height = struct.unpack_from("<ii", data, 0)
        if not (0 < width <= _MAX_DEPTH_SIDE and 0 < height <= _MAX_DEPTH_SIDE):
            raise DamagedSample(name, f"the depth picture claims {width} x {height} px")
        flat, place, at = np.zeros(width * height, np.float32), 0, 8
        while place < flat.size:
            empty, full = struct.unpack_from("<ii", data, at)
            if empty < 0 or full < 0 or empty + full == 0 or place + empty + full > flat.size:
                raise DamagedSample(name, "the depth picture's runs do not fit its size")
            values = np.frombuffer(data, "<i2", full, at + 8)
            place += empty
            flat[place : place + full] = values
            place, at = place + full, at + 8 + 2 * full
    except (struct.error, ValueError) as error:
        if isinstance(error, DamagedSample):
            raise
        raise DamagedSample(name, f"the depth picture is truncated ({error})") from None
    return flat.reshape(height, width)
