"""Names of face detectors, and what a detected face rests on. Names stand in files on disk, so they do not change.

Without imports that take time: the commands' help needs the names.
"""

from __future__ import annotations

import enum

MEDIAPIPE = "mediapipe"
OPEN = "open"
INSIGHTFACE = "insightface"
DETECTORS = (OPEN, MEDIAPIPE, INSIGHTFACE)
"""What users can choose from."""
DEFAULT_DETECTOR = OPEN

MEDIAPIPE_FACE_BOX = "mediapipe, box only"
MEDIAPIPE_BODY_POSE = "mediapipe, box on a body"
OPEN_OTHER_NETWORK = "open, another network"
"""Further values of ``Face.detector``: see :class:`DetectionEvidence`, and, of the last, that a network found the points that does
not come with the package, so that its errors were not measured."""


class DetectionEvidence(enum.Enum):
    """What a detected face rests on.

    Attributes:
        FULL: all that its detector looks for.
        FACE_BOX: MediaPipe's box networks, which are sure of it; its mesh network does not see a face, as in full profile.
        BODY_POSE: the box networks, which are less sure of it, and the body network, which sees a person's head there.
    """

    FULL = enum.auto()
    FACE_BOX = enum.auto()
    BODY_POSE = enum.auto()


_EVIDENCE = {
    MEDIAPIPE_FACE_BOX: DetectionEvidence.FACE_BOX,
    MEDIAPIPE_BODY_POSE: DetectionEvidence.BODY_POSE,
}


def evidence_of(detector: str) -> DetectionEvidence:
    """What faces of that ``detector`` rest on; of names that are not known, such as users' own detectors, ``FULL``."""
    return _EVIDENCE.get(detector, DetectionEvidence.FULL)
