"""Faces and their dense landmarks by the networks that come with the package: a box network and a landmark network."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from bfm.landmarks import five_points_of_68
from recon.detection.align import AlignmentError
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face, distinct, roll_rad, roll_turn_deg
from recon.detection.regions import Roi
from recon.detector_names import OPEN, OPEN_OTHER_NETWORK
from recon.inference.face_boxes import FaceBox, FaceBoxFinder
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK, LandmarkRegressor

MAX_SIGMA_SHARE = 0.05
"""Median standard deviation of the points over the size of the face above which the network has not seen a face. Of drawn
faces with everything on 99 % lie below 0.040, of places in photos without a face 99 % above 0.056."""
MIN_SCORE = 0.5
"""Of the box network's second look."""


class DenseLandmarkDetector:
    """Finds faces of any turn and their 520 and 478 points, each with its uncertainty. A context manager.

    Deterministic: the same photo gives the same faces.

    Args:
        landmarks: the network; ``None`` opens the one of the package on entering. Fits take the error of another network for
            unknown, see :func:`recon.inference.observe.observe`.
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
        for turn_deg in (0, 90, 270, 180):
            boxes = self._boxes(image, min_face_px, turn_deg)
            faces = (_face(image, box, self._landmarks, self._boxes) for box in boxes)
            found = distinct([face for face in faces if face is not None])
            if found:
                return found
        return []


def _face(
    image: UInt8[np.ndarray, "h w 3"], box: FaceBox, landmarks: LandmarkRegressor, boxes: FaceBoxFinder
) -> Face | None:
    """The face in a box with its points, or None if the network is not sure of them or the second look denies it."""
    name = OPEN if landmarks.path == DEFAULT_LANDMARK_NETWORK else OPEN_OTHER_NETWORK
    try:
        dense = landmarks(image, box.points5)
    except AlignmentError:
        return None
    face = face_of_points(dense, 1.0, name)
    if face is None:
        return None
    score = boxes.score_again(image, face.points5, _upright_square(dense, roll_rad(face.points5[:2], face.points5[3:])))
    return face_of_points(dense, score, name) if score >= MIN_SCORE else None


def _upright_square(dense: DenseLandmarks, turn_rad: float) -> Roi:
    """About all points, as the box network's boxes are."""
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    upright = dense.subset("478" if "478" in dense.names else "520").points_px[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = (turn @ (0.5 * (low + high))).tolist()
    return Roi(x, y, float((high - low).max()), turn_rad)


def face_of_points(dense: DenseLandmarks, score: float = 1.0, detector: str = OPEN) -> Face | None:
    """The face that dense landmarks make; None if they are too unsure of themselves to be one's."""
    marks = dense.subset("68").points_px[:, :2]
    low, high = dense.points_px[:, :2].min(axis=0), dense.points_px[:, :2].max(axis=0)
    size_px = float(np.sqrt(np.prod(high - low)))
    if not size_px > 0.0 or float(np.median(dense.sigma_px)) > MAX_SIGMA_SHARE * size_px:
        return None
    points5 = five_points_of_68(marks)
    return Face(
        box=np.concatenate([low, high]),
        points5=points5,
        score=score,
        detector=detector,
        rotation_deg=roll_turn_deg(points5),
        landmarks478=dense.subset("478").points_px if "478" in dense.names else None,
        landmarks68=marks,
        dense=dense,
    )
