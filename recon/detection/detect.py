"""The door to face detection: detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from recon.detection.face import Face
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS, INSIGHTFACE, MEDIAPIPE, OPEN


class UnknownDetectorError(ValueError):
    """A face detector was asked for that does not exist."""


@runtime_checkable
class Detector(Protocol):
    """An opened detector: ``with open_detector() as detector: detector.detect(image, min_face_px)``."""

    name: str

    def __enter__(self) -> Detector: ...

    def __exit__(self, *exc: object) -> None: ...

    def detect(self, image: UInt8[np.ndarray, "h w 3"], min_face_px: float) -> list[Face]: ...


def _open_mediapipe() -> Detector:
    from recon.detection.mediapipe_detector import MediapipeDetector

    return MediapipeDetector()


def _open_insightface() -> Detector:
    from recon.detection.insightface_detector import InsightfaceDetector

    return InsightfaceDetector()


def _open_open() -> Detector:
    from recon.inference.dense_landmark_detector import DenseLandmarkDetector

    return DenseLandmarkDetector()


_DETECTORS: dict[str, Callable[[], Detector]] = {
    OPEN: _open_open,
    MEDIAPIPE: _open_mediapipe,
    INSIGHTFACE: _open_insightface,
}


def open_detector(name: str = DEFAULT_DETECTOR) -> Detector:
    """A detector to use on many photos, in a ``with`` statement; its networks are read when it is entered.

    Raises:
        UnknownDetectorError: there is no detector of that name.
        DetectorUnavailable: on entering, if its package or networks are missing.
    """
    if name not in _DETECTORS:
        raise UnknownDetectorError(f"there is no face detector {name!r}; choose one of: {', '.join(DETECTORS)}")
    return _DETECTORS[name]()


def smallest_face_px(image: np.ndarray) -> float:
    """Size of the smallest face that is looked for unless another is asked for: 20 px, or a 64th of the longer side."""
    return max(20.0, max(image.shape[:2]) / 64.0)


def detect(
    image: np.ndarray, detector: str | Detector = DEFAULT_DETECTOR, *, min_face_px: float | None = None
) -> list[Face]:
    """All faces in a photo, the largest first; an empty list when there is none.

    If no face is found, the photo is searched again turned by 90, 270 and 180 degrees; positions are always in the
    photo as given, and each face says which turn makes it upright.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, as :func:`recon.detection.read_image` gives it.
        detector: a name of :data:`DETECTORS`, or a detector already entered (faster for many photos).
        min_face_px: height of the smallest face worth finding; smaller ones may be found too. None: a 64th part of the
            longer side, at least 20 px. Half the value costs up to four times the time in large photos.

    Raises:
        UnknownDetectorError, DetectorUnavailable: see :func:`open_detector`.
        ValueError: the image is not uint8 ``(H, W, 3)``, or ``min_face_px`` is not positive.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"detect needs a uint8 RGB picture (H, W, 3), got {found}; recon.detection.read_image makes one"
        )
    if min(image.shape[:2]) < 1:
        raise ValueError(f"detect needs a picture with pixels, got shape {image.shape}")
    smallest = smallest_face_px(image) if min_face_px is None else float(min_face_px)
    if not (np.isfinite(smallest) and smallest > 0):
        raise ValueError(f"min_face_px must be a positive number of pixels, got {min_face_px}")
    if isinstance(detector, str):
        with open_detector(detector) as opened:
            return opened.detect(image, smallest)
    return detector.detect(image, smallest)
