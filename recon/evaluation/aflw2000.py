"""Labels of AFLW2000-3D: a folder of ``imageNNNNN.jpg`` with ``imageNNNNN.mat``.

``pt3d_68`` (3, 68) holds x and y in pixels of the picture and z at the same scale, growing towards the viewer;
``pt2d`` (2, 21) holds AFLW's own points, -1 where hidden; ``Pose_Para`` (1, 7) pitch, yaw, roll in radians, t_x, t_y, t_z, f in the convention of 300W-LP (Zhu et al. 2016).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.files import ModelFileError
from bfm.loaders.mat import read_mat
from bfm.text import printable
from recon.evaluation.metrics.pose import angles_to_matrix

_FARTHEST_PX = 1e6
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
        content = read_mat(path, ("pt3d_68", "Pose_Para"), ("pt2d",))
    except (ModelFileError, OSError) as error:
        raise LabelError(str(error)) from None
    points, pose = content["pt3d_68"], content["Pose_Para"].reshape(-1)
    if points.shape != (3, 68) or len(pose) < 3:
        raise LabelError(
            f"{path}: expected pt3d_68 (3, 68) and Pose_Para (1, 7), found {points.shape} and {pose.shape}"
        )
    landmarks, angles = points.T.astype(np.float64), np.rad2deg(pose[:3].astype(np.float64))[[1, 0, 2]]
    if not ((np.abs(landmarks) < _FARTHEST_PX).all() and np.isfinite(angles).all()):
        raise LabelError(f"{path}: holds nan or inf, or points beyond every picture")
    if np.ptp(landmarks[:, 0]) * np.ptp(landmarks[:, 1]) <= 0.0:
        raise LabelError(f"{path}: the landmarks lie in one place")
    points21 = None
    if content.get("pt2d", np.zeros(0)).shape == (2, 21):
        raw = content["pt2d"].T.astype(np.float64)
        hidden = ~np.isfinite(raw).all(axis=1) | (raw <= 0.0).any(axis=1)
        points21 = np.where(hidden[:, None], np.nan, raw)
    return Aflw2000Label(photo, path, landmarks, angles, points21)
