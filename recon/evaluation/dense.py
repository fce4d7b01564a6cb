"""Dense landmarks: the 520 of the dense landmark network, or MediaPipe's 478.

AFLW2000-3D holds no dense points. Its papers measure the vertices of the Basel model's fit, which no other face model has;
so a data set has to bring points of its own: ``NAME_520.npy`` or ``NAME_478.npy`` beside the picture, (N, 2) or (N, 3)
pixels in the order of the model's landmark set of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from bfm.data import SurfacePoints
from bfm.dense_landmarks import dense_landmarks
from bfm.files import ModelFileError
from bfm.model import MorphableModel
from bfm.npy import read_npy
from recon.evaluation.aflw2000 import LabelError
from recon.evaluation.metrics.nme import normalised_error
from recon.reconstruction import Reconstruction

SETS = ("520", "478")
_LARGEST_BYTES = 1 << 20
NOTHING_DENSE = (
    "Dense points were not measured: the data set brings none (NAME_520.npy or NAME_478.npy beside the pictures). Those of "
    "AFLW2000-3D are vertices of the Basel model's fit, which other face models do not have."
)


def read_dense(photo: Path) -> tuple[str, Float[np.ndarray, "n 2"]] | None:
    """The landmark set and its true pixels ``(N, 2)``; ``None`` if the photo has no file of dense points.

    Raises:
        LabelError: unreadable, of another shape, or holding nan.
    """
    path = dense_file(photo)
    if path is None:
        return None
    name = path.stem.rsplit("_", 1)[1]
    try:
        points = read_npy(path, _LARGEST_BYTES)
    except (ModelFileError, OSError) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from None
    if points.dtype.kind not in "fiu":
        raise LabelError(f"{path}: expected an array of numbers")
    if points.ndim != 2 or points.shape[0] != int(name) or points.shape[1] not in (2, 3):
        raise LabelError(f"{path}: expected ({name}, 2) or ({name}, 3) pixels, found {points.shape}")
    if not np.isfinite(points).all():
        raise LabelError(f"{path}: holds nan or inf")
    return name, points[:, :2].astype(np.float64)


def dense_file(photo: Path) -> Path | None:
    """The file of a photo's dense points, if there is one."""
    paths = (photo.with_name(f"{photo.stem}_{name}.npy") for name in SETS)
    return next((path for path in paths if path.is_file()), None)


class DensePoints:
    """Dense points of heads of one model; the 520 are chosen once, on first use.

    Args:
        model: the face model.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self._found: dict[str, SurfacePoints] = {}

    def check(self, photos: Sequence[Path]) -> None:
        """Refuse a data set with points that the model does not have, before the first photo.

        Raises:
            LabelError: the model has no such points.
        """
        files = [path for path in map(dense_file, photos) if path is not None]
        for name in sorted({path.stem.rsplit("_", 1)[1] for path in files}):
            self._of(name)

    def pixels(self, head: Reconstruction, name: str) -> Float[np.ndarray, "n 2"]:
        """Pixels ``(N, 2)`` of the photo.

        Raises:
            LabelError: the model has no such points.
        """
        points = self._of(name).at(head.vertices.astype(np.float64), self.model.data().faces)
        points_cam = head.camera.to_camera(torch.as_tensor(points, dtype=torch.float32)[None])
        return head.camera.to_pixels(points_cam)[0].double().numpy()

    def error(self, head: Reconstruction, name: str, true: Float[np.ndarray, "n 2"], size: float) -> float:
        """NME in percent of ``size``, the square root of the area of the box of the true 68 points."""
        return normalised_error(self.pixels(head, name), true, size=size)

    def _of(self, name: str) -> SurfacePoints:
        if name not in self._found:
            self._found[name] = self._points(name)
        return self._found[name]

    def _points(self, name: str) -> SurfacePoints:
        if name in self.model.landmark_sets:
            return self.model.landmark_points(name)
        if name != "520":
            raise LabelError(f"the face model {self.model.name!r} has no landmark set {name!r}")
        return dense_landmarks(self.model)
