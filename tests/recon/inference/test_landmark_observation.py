"""Faces as measurements: what is believed of whose points."""

import dataclasses

import numpy as np
import pytest

from recon.detector_names import OPEN, OPEN_OTHER_NETWORK
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.landmark_observation import UNCALIBRATED_SIGMA, landmark_observation, packaged_error_model
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK, LandmarkRegressor
from recon.networks.landmark_checkpoint import landmark_fingerprint, load_landmark_network, save_landmark_network
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig
from recon.networks.network_file import CheckpointError


@pytest.fixture(scope="module")
def open_face(astronaut):
    with DenseLandmarkDetector() as detector:
        (face,) = detector.detect(astronaut, 60.0)
    return face


def test_the_network_of_the_package_gives_the_landmarks_of_the_open_model(open_model):
    fingerprint = landmark_fingerprint(open_model, ("520", "478"))
    network, _ = load_landmark_network(DEFAULT_LANDMARK_NETWORK, fingerprint)
    assert network.config.point_sets == ("520", "478")


def test_points_of_the_network_of_the_package_come_with_their_measured_errors(open_face, astronaut, mediapipe):
    seen = landmark_observation(open_face, "478")
    assert open_face.detector == OPEN and seen.calibrated and len(seen.modes) > 0
    # Two detectors that have nothing in common agree about this face.
    size_px = open_face.size_px
    (other,) = mediapipe.detect(astronaut, 60.0)
    assert np.linalg.norm(seen.points_px - other.landmarks478[:, :2], axis=1).mean() < 0.03 * size_px
    assert 0.002 < np.median(seen.sigma_px) / size_px < 0.06


def test_a_measured_error_is_not_that_of_another_network(astronaut, open_face, tmp_path):
    network, header = load_landmark_network(DEFAULT_LANDMARK_NETWORK)
    copy = save_landmark_network(tmp_path / "other.safetensors", network, header["landmarks"], {})
    with DenseLandmarkDetector(LandmarkRegressor(copy)) as detector:
        (face,) = detector.detect(astronaut, 60.0)
    assert face.detector == OPEN_OTHER_NETWORK and np.allclose(face.points5, open_face.points5)
    seen = landmark_observation(face, "478")
    assert not seen.calibrated and np.allclose(seen.sigma_px, UNCALIBRATED_SIGMA * face.size_px)
    given = landmark_observation(face, "478", packaged_error_model(OPEN, "478"))
    assert given.calibrated and np.allclose(given.sigma_px, landmark_observation(open_face, "478").sigma_px, rtol=1e-3)


def test_faces_without_the_set_give_no_observation(open_face):
    bare = dataclasses.replace(open_face, dense=None, landmarks478=None)
    assert landmark_observation(bare, "478") is None


def test_a_network_that_states_no_sigmas_finds_no_faces(tmp_path):
    config = LandmarkNetworkConfig("mobilenetv4_small_050", 64, ("520", "478"), head="direct")
    path = save_landmark_network(tmp_path / "direct.safetensors", LandmarkNetwork(config), "abc", {})
    with pytest.raises(CheckpointError, match="head 'direct', which states no standard deviations"):
        LandmarkRegressor(path)
