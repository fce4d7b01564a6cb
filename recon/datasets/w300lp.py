"""300W-LP and AFLW2000-3D: a picture and a ``.mat`` of the same name (SPEC_OTHER_SYSTEMS.md H)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError
from bfm.loaders.mat import read_mat
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture

_PARAMETERS = ("Shape_Para", "Exp_Para", "Tex_Para", "Illum_Para", "Color_Para", "roi")


class W300LPReader(FaceReader):
    """Both sets: 300W-LP stores the 68 points as ``pt2d`` (2 x 68), AFLW2000-3D as ``pt3d_68`` (3 x 68).

    ``published_angles_deg`` are Pose_Para's yaw, pitch and roll with their own signs. The parameters of the Basel model
    are in ``labels``, under their names in the file.

    Raises:
        FileNotFoundError: no such folder, or no samples below it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self._files = sorted(
            path
            for path in self.root.rglob("*.mat")
            if not {"landmarks", "Code"} & set(path.relative_to(self.root).parts)
        )
        if not self._files:
            raise FileNotFoundError(f"{self.root} holds no .mat files")

    @property
    def files(self) -> tuple[Path, ...]:
        """The ``.mat`` files, in the order of the samples; the picture of each has the suffix ``.jpg``."""
        return tuple(self._files)

    def original(self, index: int) -> str:
        """Name of the photo that a sample was made from, as far as the set tells who is who.

        300W-LP turns each photo to several poses, ``AFW_134212_1_0``, ``AFW_134212_1_1``, ..., and mirrors all of them in folders
        ``AFW_Flip``: all of these show one person.
        """
        path = self._files[index].relative_to(self.root)
        folders = [part.removesuffix("_Flip") for part in path.parts[:-1]]
        return "/".join((*folders, re.sub(r"_\d+$", "", path.stem)))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> FaceRecord:
        path = self._files[index]
        name = str(path.relative_to(self.root).with_suffix(""))
        image = read_picture(name, path.with_suffix(".jpg"))
        try:
            found = read_mat(path, ("Pose_Para",), ("pt2d", "pt3d_68", *_PARAMETERS))
        except ModelFileError as error:
            raise DamagedSample(name, str(error)) from None
        pose = _numbers(name, "Pose_Para", found.pop("Pose_Para")).ravel()
        if pose.size < 3 or not np.isfinite(pose).all():
            raise DamagedSample(name, f"Pose_Para holds {pose.tolist()}, at least three finite numbers are expected")
        points = found.pop("pt3d_68", None)
        flat = found.pop("pt2d", None)
        points = points if points is not None else flat
        marks = None
        if points is not None:
            if points.ndim != 2 or points.shape[0] not in (2, 3) or points.shape[1] != 68:
                raise DamagedSample(name, f"68 points are expected in 2 or 3 rows, found {points.shape}")
            marks = _numbers(name, "the points", points[:2].T)
        pitch, yaw, roll = np.degrees(pose[:3]).tolist()
        return FaceRecord(
            name=name, image=image, landmarks68_px=marks, published_angles_deg=(yaw, pitch, roll), labels=found
        )


def _numbers(name: str, what: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise DamagedSample(name, f"{what} holds {values.dtype}, numbers are expected")
    return values.astype(np.float64)
