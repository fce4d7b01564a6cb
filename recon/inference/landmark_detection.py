"""Photos to faces with landmarks, by any detector."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal

from recon.detection.detect import Detector, detect, open_detector
from recon.detection.face import Face, NoFaceError
from recon.detection.landmark_sets import sets_of_face
from recon.detector_names import DEFAULT_DETECTOR, INSIGHTFACE, MEDIAPIPE, OPEN
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.landmarks import LandmarkRegressor
from recon.io.image import Photo, PhotoLike, read_image

_SETS = {MEDIAPIPE: ("68", "478"), INSIGHTFACE: ("68",)}
"""Of the detectors that have no landmark network."""


@dataclasses.dataclass(frozen=True)
class DetectorInfo:
    """A detector, and what is known of it before it has seen a photo.

    Attributes:
        detector: to be entered by a ``with`` statement.
        sets: names of the landmark sets that its faces have.
        network: the file of its landmark network; None if it has none of ours.
    """

    detector: Detector
    sets: tuple[str, ...]
    network: Path | None


def detector_info(name: str = DEFAULT_DETECTOR, checkpoint: str | os.PathLike[str] | None = None) -> DetectorInfo:
    """A detector by name.

    Args:
        name: one of :data:`recon.detection.DETECTORS`.
        checkpoint: of the landmark network of ``"open"``, ``.safetensors`` or ``.onnx``; None takes the package's.

    Raises:
        UnknownDetectorError: there is no detector of that name.
        ValueError: a checkpoint for a detector that takes none.
        CheckpointError, OnnxError: see :class:`recon.inference.landmarks.LandmarkRegressor`.
    """
    if name == OPEN:
        regressor = LandmarkRegressor(checkpoint)
        return DetectorInfo(DenseLandmarkDetector(regressor), regressor.point_sets, regressor.path)
    if checkpoint is not None:
        raise ValueError(f"a checkpoint is for the detector {OPEN!r}; {name!r} has networks of its own")
    return DetectorInfo(open_detector(name), _SETS.get(name, ()), None)


def detect_landmarks(
    photo: PhotoLike,
    detector: str | Detector = DEFAULT_DETECTOR,
    faces: Literal["all", "largest"] = "largest",
    *,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[Face]:
    """The faces of one photo that have landmarks, the largest first.

    ``face.dense`` holds the points of ``"open"`` with their uncertainty; :class:`recon.detection.landmark_sets.FaceLandmarks`
    holds those of any detector.

    Args:
        photo: a path, a Pillow image, a uint8 RGB array, or a :class:`recon.io.image.Photo`.
        detector: a name of :data:`recon.detection.DETECTORS`, or a detector already entered (faster for many photos).
        faces: ``"all"`` or ``"largest"``.
        checkpoint: see :func:`detector_info`.

    Raises:
        NoFaceError: no face was found, or none with landmarks.
        ImageError, OSError: the photo cannot be read.
        ValueError: a checkpoint beside an open detector; otherwise see :func:`detector_info`.
    """
    image = photo if isinstance(photo, Photo) else read_image(photo)
    if isinstance(detector, str):
        with detector_info(detector, checkpoint).detector as opened:
            found = faces_with_landmarks(image, opened)
    elif checkpoint is not None:
        raise ValueError("a checkpoint is for a detector that is given by name; this one is open and has its network")
    else:
        found = faces_with_landmarks(image, detector)
    return found if faces == "all" else found[:1]


def faces_with_landmarks(photo: Photo, detector: Detector) -> list[Face]:
    """What an entered detector finds in a photo, the largest first.

    Raises:
        NoFaceError: no face was found, or none with landmarks.
    """
    found = detect(photo.pixels, detector)
    if not found:
        raise NoFaceError(f"no face was found in {photo.source}")
    marked = [face for face in found if sets_of_face(face)]
    if not marked:
        raise NoFaceError(f"a face was found in {photo.source}, but no landmarks on it")
    return marked
