"""Full profiles; and faces without dense landmarks, which are fitted from the network's answer."""

import json

import numpy as np
import pytest
import torch

from bfm.landmarks import five_points_of_68
from recon.commands.head_batch import done_row, rows_text
from recon.detection.face import Face
from recon.io.image import Photo
from recon.reconstructor import Reconstructor
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
def sample(open_model):
    return FaceSampler(open_model, CONFIG, SEED, (320, 320))[INDEX]


@pytest.fixture(scope="module")
def photo(sample):
    pixels = (255.0 * sample.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Photo(pixels, focal_px=float(sample.intrinsics[0, 0, 0]), source="a profile")


def turn_deg(head, sample):
    return float(torch.rad2deg(rotation_angle(head.camera.rotation[0], sample.rotation[0])))


def test_a_full_profile_is_found_with_its_landmarks_and_fitted(photo, sample, open_model):
    (head,) = Reconstructor(open_model, quality="fast", device="cpu")(photo)
    assert head.face.landmarks478 is not None and not head.face.dense.visible.round().all()
    assert any("half of the face is a guess" in warning for warning in head.fit_report.warnings)
    assert turn_deg(head, sample) < 10.0
    true = sample.landmarks68_px[0].numpy()
    seen = sample.landmarks68_visible[0].numpy()
    off_px = np.linalg.norm(head.landmarks68 - true, axis=1)[seen].mean()
    assert off_px < 0.06 * np.ptp(true, axis=0).max()


class _WithoutLandmarks:
    """A detector that knows the five points alone."""

    name = "five points"

    def __init__(self, points5):
        low, high = points5.min(axis=0), points5.max(axis=0)
        self._face = Face(np.concatenate([low - 20.0, high + 20.0]), points5, 0.9, self.name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def detect(self, image, min_face_px):
        return [self._face]


@pytest.fixture(scope="module")
def bare_head(photo, sample, open_model):
    points5 = five_points_of_68(sample.landmarks68_px[0].double().numpy())
    detector = _WithoutLandmarks(points5)
    (head,) = Reconstructor(open_model, quality="fast", device="cpu", detector=detector)(photo)
    return head


def test_without_landmarks_a_fit_starts_from_the_network_and_says_that_it_is_a_guess(bare_head, sample):
    assert any("no dense landmarks were found" in warning for warning in bare_head.fit_report.warnings)
    assert np.isnan(bare_head.fit_report.landmark_error_percent)
    assert turn_deg(bare_head, sample) < 35.0


def test_its_files_hold_no_nan(bare_head, tmp_path):
    bare_head.save(tmp_path / "profile", texture_size=32)
    numbers = json.loads((tmp_path / "profile" / "face.json").read_text())
    assert numbers["quality"]["landmark_error_percent"] is None and numbers["face"]["detector"] == "five points"


def test_the_command_reports_it_without_nan(bare_head):
    row = done_row("profile", bare_head)
    assert json.loads(json.dumps([row], allow_nan=False))[0]["landmark_error_percent"] is None
    shown = rows_text([row])
    assert "nan" not in shown and "no dense landmarks were found" in shown
