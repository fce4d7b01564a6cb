"""Names of detectors: every one can be opened, and a face says what it rests on."""

import numpy as np
import pytest

from recon.detection import DETECTORS, Face, open_detector
from recon.detector_names import MEDIAPIPE_BODY_POSE, MEDIAPIPE_FACE_BOX, DetectionEvidence


@pytest.mark.parametrize("name", DETECTORS)
def test_every_name_opens_the_detector_of_that_name(name):
    assert open_detector(name).name == name


@pytest.mark.parametrize(
    ("detector", "evidence"),
    [
        (MEDIAPIPE_FACE_BOX, DetectionEvidence.FACE_BOX),
        (MEDIAPIPE_BODY_POSE, DetectionEvidence.BODY_POSE),
        ("open, another network", DetectionEvidence.FULL),
        ("a user's own", DetectionEvidence.FULL),
    ],
)
def test_a_face_says_what_it_rests_on(detector, evidence):
    face = Face(np.array([0.0, 0.0, 9.0, 9.0]), np.zeros((5, 2)), 0.9, detector)
    assert face.evidence is evidence
    assert face.scaled(2.0).evidence is evidence


def test_the_names_in_files_stay_those_of_earlier_versions():
    assert (MEDIAPIPE_FACE_BOX, MEDIAPIPE_BODY_POSE) == ("mediapipe, box only", "mediapipe, box on a body")
