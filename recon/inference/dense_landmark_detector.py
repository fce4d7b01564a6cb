"""Faces and their dense landmarks by the networks that come with the package: a box network and a landmark network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from bfm.landmarks import five_points_of_68
from recon.detection.align import AlignmentError
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face, distinct, roll_rad, roll_turn_deg
from recon.detector_names import OPEN, OPEN_OTHER_NETWORK
from recon.inference.face_boxes import FaceBox, FaceBoxFinder, normalize_exposure
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK, LandmarkRegressor

_SCORE_PER_SIGMA, _SCORE_OFFSET = 10.0, 0.1
"""A face is what the box network is the surer of, the less sure the landmark network is: its score must exceed ten times the median
standard deviation of the points, as a share of the face's size, less 0.1. So a usual face with a deviation of 0.015 needs a score of
0.05, one with 0.05, as faces of 15 px have, 0.4; in photos of things boxes with a deviation below 0.065 are rare."""
_MOST_TURN_RAD, _MOST_SHIFT = 0.25 * np.pi, 0.35
"""Difference in roll, and distance of the middles of the five points in sides of the box, above which box and landmarks do not mean the
same face, as where it lies on its side."""


class DenseLandmarkDetector:
    """Finds faces of any turn and their 520 and 478 points, each with its uncertainty. A context manager.

    Deterministic: the same photo gives the same faces.

    Args:
        landmarks: the network; ``None`` opens the one of the package on entering. Fits take the error of another network for
            unknown, see :func:`recon.inference.landmark_observation.landmark_observation`.
        boxes: what finds faces; ``None`` opens the network of the package on entering.
    """

    name = OPEN

    def __init__(self, landmarks: LandmarkRegressor | None = None, boxes: FaceBoxFinder | None = None) -> None:
        self._landmarks, self._boxes = landmarks, boxes

    def __enter__(self) -> DenseLandmarkDetector:
        self._landmarks = self._landmarks or LandmarkRegressor()
        self._boxes = self._boxes or FaceBoxFinder()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def detect(self, image: UInt8[np.ndarray, "h w 3"], min_face_px: float) -> list[Face]:
        """Faces whose box is at least about ``min_face_px`` high, the largest first; see :func:`recon.detection.detect`."""
        if self._landmarks is None or self._boxes is None:
            name = type(self).__name__
            raise RuntimeError(f"{name} is used in a with statement: with {name}() as detector")
        for turn_deg, searched in self._searched_images(image):
            boxes = self._boxes(searched, min_face_px, turn_deg)
            faces = distinct([face for box in boxes if (face := face_in_box(image, box, self._landmarks)) is not None])
            if faces:
                return faces
        return []

    @staticmethod
    def _searched_images(image: UInt8[np.ndarray, "h w 3"]) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Clockwise turns and images to search one after the other until a face is found: the photo, then the photo in usual exposure
        upright, on its sides and on its head."""
        yield 0, image
        exposed = normalize_exposure(image)
        for turn_deg in (0, 90, 270, 180):
            yield turn_deg, exposed


def face_in_box(image: UInt8[np.ndarray, "h w 3"], box: FaceBox, landmarks: LandmarkRegressor) -> Face | None:
    """The face in a box with its points, or None if the network is not sure of them or finds them elsewhere."""
    name = OPEN if landmarks.path == DEFAULT_LANDMARK_NETWORK else OPEN_OTHER_NETWORK
    try:
        dense = landmarks(image, box.points5)
    except AlignmentError:
        return None
    face = face_from_landmarks(dense, box.score, name)
    return face if face is not None and _agree(box, face) else None


def _agree(box: FaceBox, face: Face) -> bool:
    """Whether a box and the landmarks that were looked for in it show one face."""
    turn_rad = roll_rad(face.points5[:2], face.points5[3:]) - box.roi.angle_rad
    turn_rad = (turn_rad + np.pi) % (2.0 * np.pi) - np.pi
    shift_px = float(np.linalg.norm(face.points5.mean(axis=0) - box.points5.mean(axis=0)))
    return abs(turn_rad) < _MOST_TURN_RAD and shift_px < _MOST_SHIFT * box.roi.side_px


def face_from_landmarks(dense: DenseLandmarks, score: float, detector: str = OPEN) -> Face | None:
    """The face that dense landmarks make; None if they are too unsure of themselves for what the box network says.

    Args:
        dense: the points.
        score: of the box network, in [0, 1].
        detector: the name that the face bears.
    """
    marks = dense.subset("68").points_px[:, :2]
    low, high = dense.points_px[:, :2].min(axis=0), dense.points_px[:, :2].max(axis=0)
    size_px = float(np.sqrt(np.prod(high - low)))
    if not size_px > 0.0 or _SCORE_PER_SIGMA * float(np.median(dense.sigma_px)) > (score + _SCORE_OFFSET) * size_px:
        return None
    points5 = five_points_of_68(marks)
    bounded = dense.subset("478").points_px[:, :2] if "478" in dense.names else marks
    return Face(
        box=np.concatenate([bounded.min(axis=0), bounded.max(axis=0)]),
        points5=points5,
        score=score,
        detector=detector,
        rotation_deg=roll_turn_deg(points5),
        landmarks478=dense.subset("478").points_px if "478" in dense.names else None,
        landmarks68=marks,
        dense=dense,
    )
