"""Faces and their dense landmarks by the networks that come with the package: a box network and a landmark network."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from bfm.landmarks import five_points_of_68
from recon.detection.align import AlignmentError
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face, distinct, roll_turn_deg
from recon.detector_names import OPEN, OPEN_OTHER_NETWORK
from recon.inference.face_boxes import FaceBox, FaceBoxFinder
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK, LandmarkRegressor

MAX_SIGMA_SHARE = 0.05
"""Median standard deviation of the points over the size of the face above which the network has not seen a face. Of drawn
faces with everything on 99 % lie below 0.040, of places in photos without a face 99 % above 0.056."""


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
            faces = distinct([face for box in boxes if (face := self._face(image, box, self._landmarks)) is not None])
            if faces:
                return faces
        return []

    @staticmethod
    def _face(image: UInt8[np.ndarray, "h w 3"], box: FaceBox, landmarks: LandmarkRegressor) -> Face | None:
        """The face in a box with its points, or None if the network is not sure of them."""
        name = OPEN if landmarks.path == DEFAULT_LANDMARK_NETWORK else OPEN_OTHER_NETWORK
        try:
            return face_of_points(landmarks(image, box.points5), box.score, name)
        except AlignmentError:
            return None


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
