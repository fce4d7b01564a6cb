"""Full profiles: found without dense landmarks, fitted from the network's answer."""

import json

import numpy as np
import pytest
import torch

from recon.commands.head_batch import done_row, rows_text
from recon.detection.face import Face
from recon.detector_names import MEDIAPIPE_BODY_POSE, DetectionEvidence
from recon.io.image import Photo
from recon.reconstructor import NoFaceError, Reconstructor
from recon.rotation import rotation_angle
from recon.synthesis import FaceSampler, SynthesisConfig

CONFIG = SynthesisConfig(
    framing="free",
    pose="uniform",
    yaw_deg=90.0,
    pitch_deg=25.0,
    roll_deg=20.0,
    distance_mm=(500.0, 1500.0),
    head_share=(0.35, 0.65),
)
SEED, INDEX = 771, 346
"""A head at 84 degrees of yaw."""


@pytest.fixture(scope="module")
def drawn(open_model):
    return FaceSampler(open_model, CONFIG, SEED, (320, 320))[INDEX]


@pytest.fixture(scope="module")
def head(drawn, open_model):
    pixels = (255.0 * drawn.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    photo = Photo(pixels, focal_px=float(drawn.intrinsics[0, 0, 0]), source="a profile")
    heads = Reconstructor(open_model, quality="fast", device="cpu")(photo)
    assert len(heads) == 1
    return heads[0]


def test_a_full_profile_is_fitted_and_says_that_it_is_a_guess(head, drawn):
    assert head.face.evidence is DetectionEvidence.FACE_BOX and head.face.landmarks478 is None
    assert any("no dense landmarks were found" in warning for warning in head.quality.warnings)
    assert np.isnan(head.quality.landmark_error_percent)
    turn_deg = float(torch.rad2deg(rotation_angle(head.camera.rotation[0], drawn.rotation[0])))
    assert turn_deg < 12.0
    true = drawn.landmarks68_px[0].numpy()
    seen = drawn.landmarks68_visible[0].numpy()
    gap_px = np.linalg.norm(head.landmarks68 - true, axis=1)[seen].mean()
    assert gap_px < 0.1 * np.ptp(true, axis=0).max()


def test_its_files_hold_no_nan(head, tmp_path):
    head.save(tmp_path / "profile", texture_size=32)
    numbers = json.loads((tmp_path / "profile" / "face.json").read_text())
    assert numbers["quality"]["landmark_error_percent"] is None
    assert numbers["face"]["detector"] == "mediapipe, box only"


def test_the_command_reports_it_without_nan(head):
    row = done_row("profile", head)
    assert json.loads(json.dumps([row], allow_nan=False))[0]["landmark_error_percent"] is None
    shown = rows_text([row])
    assert "nan" not in shown and "no dense landmarks were found" in shown


class _Sees:
    """A detector that finds the same face in every photo."""

    def __init__(self, face):
        self.name, self._face = face.detector, face

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def detect(self, image, min_face_px):
        return [self._face]


def test_what_the_network_is_unsteady_about_is_no_face(open_model):
    noise = np.random.default_rng(3).integers(0, 256, (20, 20, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    points5 = np.array([[130.0, 130.0], [190.0, 130.0], [160.0, 165.0], [135.0, 200.0], [185.0, 200.0]])
    face = Face(np.array([90.0, 80.0, 230.0, 240.0]), points5, 0.7, MEDIAPIPE_BODY_POSE)
    reconstruct = Reconstructor(open_model, quality="fast", device="cpu", detector=_Sees(face))
    with pytest.raises(NoFaceError, match="shifted crops"):
        reconstruct(Photo(noise, focal_px=None, source="noise"))
