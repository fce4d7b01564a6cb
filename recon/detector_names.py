"""Names of face detectors. They stand in files on disk, so they do not change.

Without imports that take time: the commands' help needs the names.
"""

from __future__ import annotations

MEDIAPIPE = "mediapipe"
OPEN = "open"
INSIGHTFACE = "insightface"
DETECTORS = (OPEN, MEDIAPIPE, INSIGHTFACE)
"""What users can choose from."""
DEFAULT_DETECTOR = OPEN

OPEN_OTHER_NETWORK = "open, another network"
"""A further value of ``Face.detector``: a network found the points that does not come with the package, so that its errors were not
measured."""
