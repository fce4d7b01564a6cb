"""Landmarks of a detected face as a fit takes them: with the measured errors of their detector, if there are any."""

from __future__ import annotations

import functools
from pathlib import Path

from recon.detection.error_model import LandmarkErrorModel, load_error_model, roll_of, stated_points
from recon.detection.face import Face
from recon.detection.observation import LandmarkObservation

_FOLDER = Path(__file__).parents[1] / "networks" / "weights"
UNCALIBRATED_SIGMA = 0.06
"""Standard deviation of points of a detector that was never calibrated, as a share of the face's size. The points of usual
detectors err together, so this is larger than the scatter of one of them."""


def landmark_observation(
    face: Face, landmark_set: str, errors: LandmarkErrorModel | None = None
) -> LandmarkObservation | None:
    """The face's points as a fit takes them, or ``None`` if it has none of this set.

    The package has an error model for the points of its own network (detector ``"open"``) only; those of other detectors are given
    independent errors.

    Args:
        face: as detected.
        landmark_set: name of the set.
        errors: of its detector; ``None`` takes the one that comes with the package, or, for other detectors, independent
            errors of :data:`UNCALIBRATED_SIGMA`.
    """
    stated = stated_points(face, landmark_set)
    if stated is None:
        return None
    points = stated.points_px[:, :2]
    errors = errors or packaged_error_model(face.detector, landmark_set)
    if errors is None:
        return LandmarkObservation.independent(points, UNCALIBRATED_SIGMA * face.size_px)
    marks = face.landmarks68
    assert marks is not None, "detectors that were calibrated give the 68"
    return errors.observe(points, stated.sigma_px, roll_of(marks))


@functools.lru_cache(maxsize=8)
def packaged_error_model(detector: str, landmark_set: str) -> LandmarkErrorModel | None:
    """What comes with the package for a detector, or ``None``."""
    path = _FOLDER / f"errors_{detector}_{landmark_set}.npz"
    return load_error_model(path) if path.is_file() else None
