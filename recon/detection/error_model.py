"""The error of a landmark detector as data: its bias, the size of each point's error, and what points share.

A detector's points err together: what moves an eye moves its lids and the brow above it. A fit that takes such errors for
independent believes many points that repeat one mistake. Here they are measured on synthetic faces by ``recon calibrate``: a bias, a
sigma for each point and shared modes. Fits whiten their residuals by it.

How far a detector errs towards usual faces is not part of it: on synthetic faces that is measurable, but taken off on photos it
makes a fit worse (2.89 for 2.74 % of the face's size on 30 video frames).
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from bfm.landmarks import five_points_of_68
from recon.alignment import planar_angle
from recon.detection.align import UPRIGHT_POINTS_MM
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face
from recon.detection.observation import LandmarkObservation
from recon.io.files import write_file

FORMAT = "facerecon-landmark-errors-3"
_ARRAYS = ("bias", "own_sigma", "modes")
SIGMA_UNIT = 0.01
"""Standard deviation of points whose detector states none, as a share of the face's size; only a unit."""


class ErrorModelError(ValueError):
    """A file that is no error model."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkErrorModel:
    """How one set of landmarks is detected: in axes that are upright with the face, and in units of the sigma that the detector
    states (or, of detectors that state none, of :data:`SIGMA_UNIT`).

    The error of a face is bias + own error + modes^T n with n ~ N(0, 1).

    Attributes:
        landmark_set: name of the set.
        bias: ``(N, 2)``.
        own_sigma: ``(N,)`` of the part that is a point's own.
        modes: ``(R, N, 2)`` shared parts, one standard deviation each.
        facts: how it was measured: detector, seeds, counts, commit.
    """

    landmark_set: str
    bias: Float[np.ndarray, "n 2"]
    own_sigma: Float[np.ndarray, " n"]
    modes: Float[np.ndarray, "r n 2"]
    facts: dict[str, object]

    def observe(
        self, points_px: Float[np.ndarray, "n 2"], stated_px: Float[np.ndarray, " n"], roll_rad: float
    ) -> LandmarkObservation:
        """What the points say.

        Args:
            points_px: ``(N, 2)`` as detected.
            stated_px: ``(N,)`` the sigma that the detector states.
            roll_rad: by how much the face is turned clockwise in the photo.
        """
        count, back = len(points_px), upright_turn(roll_rad).T
        own = self.own_sigma[:, None]
        axes, sigma = self._upright_axes
        return LandmarkObservation(
            points_px=points_px,
            sigma_px=stated_px * self.own_sigma,
            modes=axes.reshape(-1, count, 2) @ back,
            mode_sigma=sigma,
            bias=self.bias / own @ back,
        )

    @functools.cached_property
    def _upright_axes(self) -> tuple[Float[np.ndarray, "r n2"], Float[np.ndarray, " r"]]:
        """Orthonormal axes of the modes in units of each point's own sigma, in which the modes themselves are none, and the standard
        deviations along them. A turn of the face turns the axes and changes nothing else."""
        scaled = self.modes / self.own_sigma[:, None]
        _, singular, axes = np.linalg.svd(scaled.reshape(len(scaled), 2 * len(self.own_sigma)), full_matrices=False)
        return axes, singular


def stated_points(face: Face, landmark_set: str) -> DenseLandmarks | None:
    """A set of a face's points with the sigmas that its detector states, or :data:`SIGMA_UNIT` of the face's size where
    it states none; ``None`` if it has no such points."""
    if face.dense is not None and landmark_set in face.dense.names:
        return face.dense.subset(landmark_set)
    points = {"478": face.landmarks478, "68": face.landmarks68}.get(landmark_set)
    if points is None:
        return None
    count = len(points)
    depth = points[:, 2] if points.shape[1] == 3 else np.zeros(count)
    sigma = np.full(count, SIGMA_UNIT * face.size_px)
    return DenseLandmarks(
        np.column_stack([points[:, :2], depth]), sigma, sigma, np.ones(count), ((landmark_set, count),)
    )


def upright_turn(roll_rad: float) -> Float[np.ndarray, "2 2"]:
    """Row vectors of the photo times this are those of the upright face; times its transpose, the way back."""
    cos, sin = np.cos(roll_rad), np.sin(roll_rad)
    return np.array([[cos, -sin], [sin, cos]])


def roll_of(points68_px: Float[np.ndarray, "68 2"]) -> float:
    """By how much a face is turned clockwise in the photo, radians, as :func:`recon.detection.align.align` finds it."""
    seen = torch.from_numpy(np.asarray(five_points_of_68(points68_px), dtype=np.float64))[None]
    return float(planar_angle(UPRIGHT_POINTS_MM, seen))


def save_error_model(path: str | os.PathLike[str], model: LandmarkErrorModel) -> Path:
    """Write a model as ``.npz``, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    content = io.BytesIO()
    arrays = {name: getattr(model, name).astype(np.float32) for name in _ARRAYS}
    text = json.dumps({"format": FORMAT, "landmark_set": model.landmark_set, **model.facts})
    np.savez_compressed(content, header=np.array(text), **arrays)
    return write_file(path, content.getvalue(), overwrite=True)


def load_error_model(path: str | os.PathLike[str]) -> LandmarkErrorModel:
    """Read what :func:`save_error_model` wrote.

    Raises:
        ErrorModelError: no such file, or none of ours.
    """
    place = Path(path)
    try:
        with np.load(place, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name].astype(np.float64) for name in _ARRAYS}
        found_format = header.pop("format")
        landmark_set = header.pop("landmark_set")
    # numpy raises what zip archives and pickles raise.
    except Exception as error:
        raise ErrorModelError(f"{place} is no error model of landmarks: {error}") from error
    if found_format != FORMAT:
        raise ErrorModelError(f"{place} is no error model of landmarks: format {found_format!r}, expected {FORMAT!r}")
    return LandmarkErrorModel(landmark_set=landmark_set, facts=header, **arrays)
