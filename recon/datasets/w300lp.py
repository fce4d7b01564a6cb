"""300W-LP and AFLW2000-3D: a picture and a ``.mat`` of the same name (Zhu et al. 2016)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.files import ModelFileError
from bfm.loaders.mat import read_mat
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture

_PARAMETERS = ("Shape_Para", "Exp_Para", "Tex_Para", "Illum_Para", "Color_Para", "roi")
_FARTHEST_PX = 1e6


@dataclasses.dataclass(frozen=True, eq=False)
class W300LPLabels:
    """What one ``.mat`` file says.

    Attributes:
        angles_deg: ``(3,)`` yaw, pitch, roll of ``Pose_Para``, convention ``300wlp`` of
            :mod:`recon.datasets.pose_conventions`.
        landmarks68: ``(68, 2)`` px of the picture in 300W-LP (``pt2d``), ``(68, 3)`` in AFLW2000-3D (``pt3d_68``), with z at the
            same scale, growing towards the viewer; ``None`` if the file has none.
        points21: ``(21, 2)`` AFLW's own points in AFLW2000-3D (``pt2d``), px, nan where hidden; ``None`` if it has none.
        parameters: of the Basel model, under their names in the file.
    """

    angles_deg: Float[np.ndarray, " 3"]
    landmarks68: Float[np.ndarray, "68 _d"] | None
    points21: Float[np.ndarray, "21 2"] | None
    parameters: dict[str, np.ndarray]


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
        labels = read_labels(path, name)
        points = labels.landmarks68
        yaw, pitch, roll = labels.angles_deg.tolist()
        return FaceRecord(
            name=name,
            image=image,
            landmarks68_px=None if points is None else points[:, :2],
            published_angles_deg=(yaw, pitch, roll),
            labels=labels.parameters,
        )


def read_labels(path: Path, name: str) -> W300LPLabels:
    """What a ``.mat`` file of either set says.

    Args:
        path: the file.
        name: of the sample, for messages.

    Raises:
        DamagedSample: missing, unreadable, without a pose, or with points that are no 68 finite ones near a picture.
        ReaderProcessError: the process that reads MATLAB files cannot be started.
    """
    try:
        found = read_mat(path, ("Pose_Para",), ("pt2d", "pt3d_68", *_PARAMETERS))
    except (ModelFileError, OSError) as error:
        raise DamagedSample(name, str(error)) from None
    pose = _numbers(name, f"{path.name}: Pose_Para", found.pop("Pose_Para")).ravel()
    if pose.size < 3 or not np.isfinite(pose).all():
        raise DamagedSample(
            name, f"{path.name}: Pose_Para holds {pose.tolist()}, at least three finite numbers are expected"
        )
    solid, flat = found.pop("pt3d_68", None), found.pop("pt2d", None)
    chosen = solid if solid is not None else flat
    points = None
    if chosen is not None:
        if chosen.ndim != 2 or chosen.shape[0] not in (2, 3) or chosen.shape[1] != 68:
            raise DamagedSample(name, f"{path.name}: 68 points are expected in 2 or 3 rows, found {chosen.shape}")
        points = _numbers(name, f"{path.name}: the points", chosen.T)
        if not (np.abs(points) < _FARTHEST_PX).all():
            raise DamagedSample(name, f"{path.name}: the points hold nan or inf, or lie beyond every picture")
    own = None
    if flat is not None and flat.shape == (2, 21):
        raw = _numbers(name, f"{path.name}: pt2d", flat.T)
        hidden = ~np.isfinite(raw).all(axis=1) | (raw <= 0.0).any(axis=1)
        own = np.where(hidden[:, None], np.nan, raw)
    pitch, yaw, roll = np.degrees(pose[:3]).tolist()
    return W300LPLabels(np.array([yaw, pitch, roll]), points, own, found)


def _numbers(name: str, what: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise DamagedSample(name, f"{what} holds {values.dtype}, numbers are expected")
    return values.astype(np.float64)
