"""Head pose labels of published data sets, as rotations of our camera frame."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

import bfm
from recon.datasets import C3iReader, DamagedSample, FolderReader, Pointing04Reader, PoseTableReader
from recon.datasets.biwi import read_pose
from recon.datasets.pointing04 import parsed_name
from recon.datasets.points68_table import POINTS_TABLE, Points68Reader
from recon.datasets.pose_conventions import angles_to_matrix, matrix_to_angles
from recon.datasets.pose_table import TABLE
from recon.evaluation.aflw2000 import LabelError, photos_and_labels, read_label
from recon.evaluation.points_pose import PointsPose
from recon.evaluation.reports.result import Skipped
from recon.rotation import turn_to_ray

LAYOUTS = ("aflw2000", "biwi", "c3i", "pointing04", "points68", "synthetic", "table")

_LARGEST_DEG = {"aflw2000": (99.0, 99.0, 99.0), "biwi": (75.0, 60.0, 50.0), "c3i": (180.0, 180.0, 180.0)}
_LARGEST_DEG |= {"pointing04": (90.0, 90.0, 180.0)}
_LARGEST_DEG |= dict.fromkeys(("points68", "synthetic", "table"), (180.0, 180.0, 180.0))


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
        convention: one of :data:`recon.datasets.pose_conventions.CONVENTIONS`.
        box: x0, y0, x1, y1 of the face if the data set says.
        translation_mm: ``(3,)`` of the head in our camera frame; ``None`` where it is seen under weak perspective, all of whose
            rays are parallel to the axis.
    """

    name: str
    group: str
    photo: Path
    label_file: Path
    rotation: Float[np.ndarray, "3 3"]
    angles_deg: Float[np.ndarray, " 3"]
    convention: str
    box: Float[np.ndarray, " 4"] | None = None
    translation_mm: Float[np.ndarray, " 3"] | None = None

    @property
    def rotation_ray(self) -> Float[np.ndarray, "3 3"]:
        """``(3, 3)`` the rotation against the ray to the head, as crops show it."""
        if self.translation_mm is None:
            return self.rotation
        ray = turn_to_ray(torch.from_numpy(np.asarray(self.translation_mm, dtype=np.float64))[None])[0].numpy()
        return np.asarray(ray.T @ self.rotation)


def find_poses(folder: Path, layout: str, convention: str | None = None) -> tuple[list[PoseLabel], list[Skipped]]:
    """Labels of all pictures, and the pictures that are left out and why.

    Left out are pictures without a label, labels without a picture, unreadable ones, and those beyond the range that the papers keep: 99
    degrees in AFLW2000-3D (as all published figures), yaw 75, pitch 60, roll 50 in BIWI (the range of its description).

    Args:
        folder: of the data set.
        layout: one of :data:`LAYOUTS`.
        convention: what the angles of a ``table`` mean, one of :data:`recon.datasets.pose_conventions.CONVENTIONS`; the other
            layouts have their own.

    Raises:
        ValueError: an unknown layout, or a convention for a layout that has its own.
        LabelError: no such folder, or no picture with a label.
    """
    if convention is not None and layout != "table":
        raise ValueError(f"the layout {layout} has its own angle convention; a convention is for the layout table")
    if layout not in LAYOUTS:
        raise ValueError(f"unknown pose layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise LabelError(f"no such folder: {folder}")
    labels: list[PoseLabel] = []
    left: list[Skipped] = []
    for name, make in _found(folder, layout, convention, left):
        try:
            label = make()
        except DamagedSample as fault:
            left.append(Skipped(name, fault.reason))
            continue
        except LabelError as error:
            left.append(Skipped(name, str(error)))
            continue
        beyond = np.abs(label.angles_deg) > _LARGEST_DEG[layout]
        if beyond.any():
            axis = ("yaw", "pitch", "roll")[int(np.argmax(beyond))]
            angle, most = label.angles_deg[int(np.argmax(beyond))], _LARGEST_DEG[layout][int(np.argmax(beyond))]
            left.append(Skipped(name, f"{axis} {angle:.1f} degrees is beyond the protocol's {most:.0f}"))
            continue
        labels.append(label)
    if not labels:
        why = f" ({left[0].name}: {left[0].reason})" if left else ""
        raise LabelError(f"{folder}: no picture with a usable label in the layout {layout!r}{why}; {_EXPECTED[layout]}")
    return labels, left


_Maker = Callable[[], PoseLabel]


def _found(folder: Path, layout: str, convention: str | None, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    if layout == "table":
        return _table(folder, convention or "zyx")
    found = {"aflw2000": _aflw2000, "biwi": _biwi, "c3i": _c3i, "pointing04": _pointing04}
    return {**found, "points68": _points68, "synthetic": _synthetic}[layout](folder, left)


_EXPECTED = {
    "aflw2000": "expected image00002.jpg with image00002.mat, ...",
    "biwi": "expected 01/frame_00003_rgb.png with 01/frame_00003_pose.txt, ...",
    "c3i": "expected .../rgb_0000.jpg with .../data_0000.txt, ...",
    "pointing04": "expected .../personne08123-30+45.jpg, ...",
    "points68": "expected points68.csv with the columns file, x0, y0, ..., x67, y67",
    "synthetic": "expected 00000000.jpg with 00000000.npz, ..., as recon synthesize --layout folder writes them",
    "table": "expected poses.csv with the columns picture, yaw, pitch, roll",
}


def _aflw2000(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    photos, alone = photos_and_labels(folder)
    left += [Skipped(text.split()[1], text) for text in alone]

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


def _biwi(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    def make(name: str, photo: Path) -> PoseLabel:
        path = photo.with_name(photo.name.replace("_rgb.png", "_pose.txt"))
        pose = read_pose(path, name)
        return PoseLabel(
            name, photo.parent.name, photo, path, pose.rotation, pose.angles_deg, "biwi", None, pose.translation_mm
        )

    for path in sorted(folder.glob("*/frame_*_pose.txt")):
        photo = path.with_name(path.name.replace("_pose.txt", "_rgb.png"))
        if not photo.exists():
            left.append(Skipped(f"{path.parent.name}/{photo.name}", f"{path.name} is there and the picture is missing"))
    for photo in sorted(folder.glob("*/frame_*_rgb.png")):
        name = f"{photo.parent.name}/{photo.name}"
        yield name, lambda name=name, photo=photo: make(name, photo)  # type: ignore[misc]


def _c3i(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    """The group is the person: the second folder, below ``male`` or ``female``."""
    try:
        reader = C3iReader(folder)
    except FileNotFoundError as error:
        raise LabelError(f"{error}; {_EXPECTED['c3i']}") from None

    def make(index: int) -> PoseLabel:
        name, photo = reader.name(index), reader.pictures[index]
        rotations, translations_mm = reader.capture(index).head_to_camera
        rotation, translation_mm = rotations[0].numpy(), translations_mm[0].numpy()
        parts = photo.relative_to(folder).parts
        group = "/".join(parts[:2]) if len(parts) > 2 else parts[0]
        return PoseLabel(
            name,
            group,
            photo,
            reader.data_file(index),
            rotation,
            matrix_to_angles(rotation, "zyx"),
            "zyx",
            None,
            translation_mm,
        )

    for index in range(len(reader)):
        yield reader.name(index), functools.partial(make, index)


def _pointing04(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    try:
        reader = Pointing04Reader(folder)
    except FileNotFoundError as error:
        raise LabelError(f"{error}; {_EXPECTED['pointing04']}") from None

    def make(index: int) -> PoseLabel:
        name, photo = reader.name(index), reader.pictures[index]
        told = parsed_name(name)
        angles = np.array([told.pan_deg, told.tilt_deg, 0.0])
        # The name is the label, and the people are seated where the camera's axis is: axis and ray are the same.
        return PoseLabel(
            name, f"{told.person:02d}", photo, photo, angles_to_matrix(angles, "pointing04"), angles, "pointing04"
        )

    for index in range(len(reader)):
        yield reader.name(index), functools.partial(make, index)


def _table(folder: Path, convention: str) -> Iterator[tuple[str, _Maker]]:
    try:
        reader = PoseTableReader(folder, convention)
    except (FileNotFoundError, DamagedSample) as error:
        raise LabelError(f"{error}; {_EXPECTED['table']}") from None

    def make(index: int) -> PoseLabel:
        row = reader.row(index)
        angles = np.array(row.angles_deg)
        rotation = angles_to_matrix(angles, convention)
        photo = folder / row.picture
        return PoseLabel(row.picture, row.person or row.picture, photo, folder / TABLE, rotation, angles, convention)

    for index in range(len(reader)):
        yield reader.name(index), functools.partial(make, index)


def _points68(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    """The truth is the rigid fit of the mean head, see :class:`recon.evaluation.points_pose.PointsPose`."""
    try:
        reader = Points68Reader(folder)
    except (FileNotFoundError, DamagedSample, ValueError) as error:
        raise LabelError(f"{error}; {_EXPECTED['points68']}") from None
    pose_of = PointsPose(bfm.load("open"))

    def make(index: int) -> PoseLabel:
        name, points = reader.name(index), reader.points_px(index)
        try:
            rotation = pose_of(points)
        except ValueError as error:
            raise DamagedSample(name, str(error)) from None
        box = np.concatenate((points.min(axis=0), points.max(axis=0)))
        angles, person = matrix_to_angles(rotation, "zyx"), name.rpartition("/")[2].partition("_")[0]
        return PoseLabel(name, person, folder / name, folder / POINTS_TABLE, rotation, angles, "zyx", box)

    for index in range(len(reader)):
        yield reader.name(index), functools.partial(make, index)


def _synthetic(folder: Path, left: list[Skipped]) -> Iterator[tuple[str, _Maker]]:
    try:
        reader = FolderReader(folder)
    except FileNotFoundError as error:
        raise LabelError(f"{error}; {_EXPECTED['synthetic']}") from None

    def make(index: int) -> PoseLabel:
        record = reader[index]
        if record.rotation is None or record.translation_mm is None or record.landmarks68_px is None:
            raise DamagedSample(record.name, "the labels hold no pose")
        marks, rotation = record.landmarks68_px, np.asarray(record.rotation, dtype=np.float64)
        photo, label_file = (folder / f"{record.name}.{suffix}" for suffix in ("jpg", "npz"))
        return PoseLabel(
            photo.name,
            str(record.identity_number),
            photo,
            label_file,
            rotation,
            matrix_to_angles(rotation, "zyx"),
            "zyx",
            np.concatenate((marks.min(axis=0), marks.max(axis=0))).astype(np.float64),
            np.asarray(record.translation_mm, dtype=np.float64),
        )

    for index in range(len(reader)):
        yield reader.name(index), functools.partial(make, index)
