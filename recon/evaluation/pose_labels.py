"""Head pose labels of AFLW2000-3D, BIWI and C3I-SynFace, as rotations of our camera frame."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.isolated import ReaderProcessError
from bfm.reading import read_text
from recon.evaluation.aflw2000 import LabelError, photos_and_labels, read_label
from recon.evaluation.metrics.pose import angles_to_matrix, matrix_to_angles
from recon.evaluation.reports.result import Left
from recon.io.faults import reason

LAYOUTS = ("aflw2000", "biwi", "c3i")

_FLIP_Y_Z = np.diag([1.0, -1.0, -1.0])
_LARGEST_DEG = {"aflw2000": (99.0, 99.0, 99.0), "biwi": (75.0, 60.0, 50.0), "c3i": (180.0, 180.0, 180.0)}
_C3I_PHOTO = re.compile(r"(?:rgb|image)_?(\d+)\.jpe?g", re.IGNORECASE)
_NUMBER = r"\s*(-?\d+(?:\.\d*)?)"
_C3I_ANGLES = re.compile(rf"(Camera|Head) Rotation:\s*Yaw{_NUMBER}\s*Pitch{_NUMBER}\s*Roll{_NUMBER}")


@dataclasses.dataclass(frozen=True, eq=False)
class PoseLabel:
    """The true pose in one picture.

    Attributes:
        name: path below the data folder.
        group: person or sequence.
        photo: the picture.
        label_file: where the pose comes from.
        rotation: ``(3, 3)`` head to camera, our frame.
        angles_deg: ``(3,)`` yaw, pitch, roll in the data set's convention.
        convention: one of :data:`recon.evaluation.metrics.pose.CONVENTIONS`.
        box: x0, y0, x1, y1 of the face if the data set says.
    """

    name: str
    group: str
    photo: Path
    label_file: Path
    rotation: Float[np.ndarray, "3 3"]
    angles_deg: Float[np.ndarray, " 3"]
    convention: str
    box: Float[np.ndarray, " 4"] | None = None


def find_poses(folder: Path, layout: str) -> tuple[list[PoseLabel], list[Left]]:
    """Labels of all pictures, and the pictures that are left out and why.

    Left out are pictures without a label, with an unreadable one, and those beyond the range that the papers keep: 99
    degrees in AFLW2000-3D (as all published figures), yaw 75, pitch 60, roll 50 in BIWI (the range of its description).

    Raises:
        ValueError: an unknown layout.
        LabelError: no such folder, or no picture with a label.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown pose layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise LabelError(f"no such folder: {folder}")
    find = {"aflw2000": _aflw2000, "biwi": _biwi, "c3i": _c3i}[layout]
    labels: list[PoseLabel] = []
    left: list[Left] = []
    for name, make in find(folder, left):
        try:
            label = make()
        except ReaderProcessError:  # would come again for every picture
            raise
        # Labels are foreign files: one that cannot be used is left out, whatever is wrong with it.
        except Exception as error:
            left.append(Left(name, reason(error)))
            continue
        beyond = np.abs(label.angles_deg) > _LARGEST_DEG[layout]
        if beyond.any():
            axis = ("yaw", "pitch", "roll")[int(np.argmax(beyond))]
            angle, most = label.angles_deg[int(np.argmax(beyond))], _LARGEST_DEG[layout][int(np.argmax(beyond))]
            left.append(Left(name, f"{axis} {angle:.1f} degrees is beyond the protocol's {most:.0f}"))
            continue
        labels.append(label)
    if not labels:
        why = f" ({left[0].name}: {left[0].reason})" if left else ""
        raise LabelError(f"{folder}: no picture with a usable label in the layout {layout!r}{why}; {_EXPECTED[layout]}")
    return labels, left


_Maker = Callable[[], PoseLabel]
_EXPECTED = {
    "aflw2000": "expected image00002.jpg with image00002.mat, ...",
    "biwi": "expected 01/frame_00003_rgb.png with 01/frame_00003_pose.txt, ...",
    "c3i": "expected .../rgb_0000.jpg with .../data_0000.txt, ...",
}


def _aflw2000(folder: Path, left: list[Left]) -> Iterator[tuple[str, _Maker]]:
    photos, alone = photos_and_labels(folder)
    left += [Left(text.split()[1], text) for text in alone]

    def make(photo: Path) -> PoseLabel:
        label = read_label(photo)
        return PoseLabel(
            photo.name,
            photo.name,
            photo,
            label.label_file,
            label.rotation,
            label.angles_deg,
            "300wlp",
            label.box,
        )

    for photo in photos:
        yield photo.name, lambda photo=photo: make(photo)  # type: ignore[misc]


def _biwi(folder: Path, left: list[Left]) -> Iterator[tuple[str, _Maker]]:
    """``<sequence>/frame_NNNNN_rgb.png`` and ``frame_NNNNN_pose.txt``: three rows of R, then the head's place in mm.

    The Kinect frame has y down and z away from the camera; the head's axes are turned alike, so R is ours between two
    half turns about x.
    """

    def make(photo: Path, pose: Path) -> PoseLabel:
        if not pose.is_file():
            raise LabelError(f"{pose.name} is missing")
        numbers = read_text(pose).split()
        if len(numbers) < 9:
            raise LabelError(f"{pose}: expected a 3 x 3 rotation, found {len(numbers)} numbers")
        try:
            matrix = np.array([float(number) for number in numbers[:9]]).reshape(3, 3)
        except ValueError:
            raise LabelError(f"{pose}: expected a 3 x 3 rotation, found something that is no number") from None
        if (
            not (np.abs(matrix) < 2.0).all()
            or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-2)
            or np.linalg.det(matrix) < 0.0
        ):
            raise LabelError(f"{pose}: the matrix is no rotation")
        rotation = _FLIP_Y_Z @ matrix @ _FLIP_Y_Z
        return PoseLabel(
            f"{photo.parent.name}/{photo.name}",
            photo.parent.name,
            photo,
            pose,
            rotation,
            matrix_to_angles(rotation, "biwi"),
            "biwi",
        )

    for photo in sorted(folder.glob("*/frame_*_rgb.png")):
        pose = photo.with_name(photo.name.replace("_rgb.png", "_pose.txt"))
        yield f"{photo.parent.name}/{photo.name}", lambda photo=photo, pose=pose: make(photo, pose)  # type: ignore[misc]


def _c3i(folder: Path, left: list[Left]) -> Iterator[tuple[str, _Maker]]:
    """``rgb_<id>.jpg`` with ``data_<id>.txt`` anywhere below the folder.

    Angles are Blender's Euler XYZ in its world (z up, the camera looking along +y), written as yaw about z, pitch about x
    and roll about y. A head at zero looks at the camera (data paper, 001:821-1090). The group is the person: the second
    folder, below ``male`` or ``female``.
    """

    def make(photo: Path, data: Path | None) -> PoseLabel:
        if data is None:
            raise LabelError("its data_<id>.txt is missing")
        found = {kind: [float(x) for x in angles] for kind, *angles in _C3I_ANGLES.findall(read_text(data))}
        if set(found) != {"Camera", "Head"}:
            raise LabelError(f"{data}: expected 'Camera Rotation:' and 'Head Rotation:' with yaw, pitch and roll")
        rotation = _blender(found["Camera"]).T @ _blender(found["Head"]) @ _blender([0.0, 90.0, 0.0])
        parts = photo.relative_to(folder).parts
        return PoseLabel(
            photo.relative_to(folder).as_posix(),
            "/".join(parts[:2]) if len(parts) > 2 else parts[0],
            photo,
            data,
            rotation,
            matrix_to_angles(rotation, "zyx"),
            "zyx",
        )

    for photo in sorted(p for p in folder.rglob("*") if _C3I_PHOTO.fullmatch(p.name)):
        match = _C3I_PHOTO.fullmatch(photo.name)
        assert match is not None
        names = (f"data_{match[1]}.txt", f"data{match[1]}.txt")
        data = next((photo.with_name(n) for n in names if photo.with_name(n).is_file()), None)
        yield photo.relative_to(folder).as_posix(), lambda photo=photo, data=data: make(photo, data)  # type: ignore[misc]


def _blender(angles_deg: list[float]) -> Float[np.ndarray, "3 3"]:
    """Blender's Euler XYZ: R = Rz(yaw) Ry(roll) Rx(pitch) in its z-up world."""
    yaw, pitch, roll = angles_deg
    # In the words of our own convention: about z is "roll", about y "yaw", about x "pitch".
    return angles_to_matrix(np.array([roll, pitch, yaw]), "zyx")
