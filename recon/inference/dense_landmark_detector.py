"""Faces by MediaPipe's box networks, their points by the dense landmark network that comes with the package."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8

from bfm.landmarks import five_points_of_68
from recon.detection.align import AlignmentError
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face, roll_rad, roll_turn_deg
from recon.detection.mediapipe_detector import FaceBox, MediapipeDetector, mouth_corners
from recon.detector_names import OPEN, OPEN_OTHER_NETWORK
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK, LandmarkRegressor

MAX_SIGMA_SHARE = 0.05
"""Median standard deviation of the points over the size of the face above which the network has not seen a face. Of drawn
faces with everything on 99 % lie below 0.040, of places in photos without a face 99 % above 0.056."""
MIN_SCORE = 0.6
"""Of the box networks' second look, see :mod:`recon.detection.mediapipe_detector`."""


class DenseLandmarkDetector(MediapipeDetector):
    """Finds faces of any turn and their 520 and 478 points, each with its uncertainty. A context manager.

    Args:
        landmarks: the network; ``None`` opens the one of the package on entering. Fits take the error of another network for
            unknown, see :func:`recon.inference.observe.observe`.
    """

    name = OPEN

    def __init__(self, landmarks: LandmarkRegressor | None = None) -> None:
        super().__init__()
        self._landmarks = landmarks

    def _open_points(self) -> None:
        """The landmark network in place of the mesh."""
        if self._landmarks is None:
            self._landmarks = LandmarkRegressor()

    @property
    def _face_name(self) -> str:
        assert self._landmarks is not None, "opened on entering"
        return OPEN if self._landmarks.path == DEFAULT_LANDMARK_NETWORK else OPEN_OTHER_NETWORK

    def _face(self, image: UInt8[np.ndarray, "h w 3"], box: FaceBox) -> Face | None:
        """The face in a box with its points, or None if the network is not sure of them or the second look denies it."""
        assert self._landmarks is not None, "opened on entering"
        points5 = np.stack([*box.points[:3], *mouth_corners(box)])
        try:
            dense = self._landmarks(image, points5)
        except AlignmentError:
            return None
        face = face_of_points(dense, self._face_name)
        if face is None:
            return None
        upright = dataclasses.replace(box.roi, angle_rad=roll_rad(face.points5[:2], face.points5[3:]))
        score = self._second_look(image, upright, face.points5[2], self._boxes)
        return dataclasses.replace(face, score=score) if score >= MIN_SCORE else None

    def _face_without_mesh(self, image, box, graphs):  # type: ignore[no-untyped-def]
        """A weaker box, of a face that the body network tells of; with its points if they can be found."""
        face = super()._face_without_mesh(image, box, graphs)
        assert self._landmarks is not None, "opened on entering"
        try:
            found = face_of_points(self._landmarks(image, face.points5), self._face_name)
        except AlignmentError:
            return face
        return face if found is None else dataclasses.replace(found, score=face.score)


def face_of_points(dense: DenseLandmarks, detector: str = OPEN) -> Face | None:
    """The face that dense landmarks make, with score 1; None if they are too unsure of themselves to be one's."""
    marks = dense.subset("68").points_px[:, :2]
    low, high = dense.points_px[:, :2].min(axis=0), dense.points_px[:, :2].max(axis=0)
    size_px = float(np.sqrt(np.prod(high - low)))
    if not size_px > 0.0 or float(np.median(dense.sigma_px)) > MAX_SIGMA_SHARE * size_px:
        return None
    points5 = five_points_of_68(marks)
    return Face(
        box=np.concatenate([low, high]),
        points5=points5,
        score=1.0,
        detector=detector,
        rotation_deg=roll_turn_deg(points5),
        landmarks478=dense.subset("478").points_px if "478" in dense.names else None,
        landmarks68=marks,
        dense=dense,
    )
