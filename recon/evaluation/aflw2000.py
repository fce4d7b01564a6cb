"""AFLW2000-3D as its protocol takes it: a folder of ``imageNNNNN.jpg`` with ``imageNNNNN.mat``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.text import printable
from recon.datasets.pose_conventions import angles_to_matrix
from recon.datasets.record import DamagedSample
from recon.datasets.w300lp import read_labels

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


class LabelError(ValueError):
    """A label file cannot be used; the message names it."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


@dataclasses.dataclass(frozen=True, eq=False)
class Aflw2000Label:
    """Labels of one picture.

    Attributes:
        photo: the picture file.
        label_file: the ``.mat`` file.
        landmarks: ``(68, 3)`` pixels x right, y down, z towards the viewer.
        angles_deg: ``(3,)`` yaw, pitch, roll as in the file (convention ``300wlp``).
        points21: ``(21, 2)`` AFLW's own points, pixels, nan where hidden; None if the file has none.
    """

    photo: Path
    label_file: Path
    landmarks: Float[np.ndarray, "68 3"]
    angles_deg: Float[np.ndarray, " 3"]
    points21: Float[np.ndarray, "21 2"] | None = None

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Head to camera in our frame."""
        return angles_to_matrix(self.angles_deg, "300wlp")

    @property
    def box(self) -> Float[np.ndarray, " 4"]:
        """x0, y0, x1, y1 of the landmarks, pixels."""
        return np.concatenate([self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)])


def photos_and_labels(folder: Path) -> tuple[list[Path], list[str]]:
    """Pictures that have a ``.mat`` file, and sentences about files without a partner.

    Raises:
        LabelError: no such folder, or nothing to measure in it.
    """
    if not folder.is_dir():
        raise LabelError(f"no such folder: {folder}")
    pictures = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
    labels = {p.stem for p in folder.iterdir() if p.suffix.lower() == ".mat"}
    paired = [p for p in pictures if p.stem in labels]
    if not paired:
        raise LabelError(
            f"{folder}: found {len(pictures)} pictures and {len(labels)} .mat files, but no picture with a .mat file of its "
            "name; AFLW2000-3D is a folder of image00002.jpg, image00002.mat, ..."
        )
    alone = [f"picture {p.name} has no .mat file" for p in pictures if p.stem not in labels]
    alone += [f"label {stem}.mat has no picture" for stem in sorted(labels - {p.stem for p in pictures})]
    return paired, alone


def read_label(photo: Path) -> Aflw2000Label:
    """Labels of one picture.

    Raises:
        LabelError: unreadable or damaged.
    """
    path = photo.with_suffix(".mat")
    try:
        labels = read_labels(path, photo.name)
    except DamagedSample as fault:
        raise LabelError(fault.reason) from None
    landmarks = labels.landmarks68
    if landmarks is None or landmarks.shape[1] != 3:
        raise LabelError(f"{path}: AFLW2000-3D needs 68 points with depth, pt3d_68 (3, 68), and the file has none")
    if np.ptp(landmarks[:, 0]) * np.ptp(landmarks[:, 1]) <= 0.0:
        raise LabelError(f"{path}: the landmarks lie in one place")
    return Aflw2000Label(photo, path, landmarks, labels.angles_deg, labels.points21)
