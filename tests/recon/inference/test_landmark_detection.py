"""Photos to faces with landmarks: the network framed and asked, by torch and by onnxruntime."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import recon
from recon.detection.landmark_sets import sets_of_face
from recon.detector_names import OPEN_OTHER_NETWORK
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.landmark_detection import detect_landmarks, detector_info
from recon.inference.landmarks import LandmarkRegressor
from recon.networks.landmark_checkpoint import load_landmark_network, save_landmark_network
from recon.networks.landmark_onnx import export_landmark_onnx
from recon.networks.network_file import CheckpointError
from recon.reconstructor import NoFaceError


@pytest.fixture(scope="module")
def exported(landmark_checkpoint, tmp_path_factory):
    network, header = load_landmark_network(landmark_checkpoint)
    return export_landmark_onnx(network, header["landmarks"], tmp_path_factory.mktemp("onnx") / "mean_head.onnx")


def test_the_usual_door_gives_dense_landmarks(astronaut, landmark_checkpoint):
    # A network that is sure of all it sees leaves the choice to the boxes.
    found = recon.detect_landmarks(astronaut, checkpoint=landmark_checkpoint, faces="all")
    face = max(found, key=lambda face: face.score)
    assert face.detector == OPEN_OTHER_NETWORK and face.dense is not None
    assert face.dense.names == ("68", "520", "478")
    middle = face.dense.points_px[:, :2].mean(axis=0)
    assert np.linalg.norm(middle - [226.0, 124.0]) < 25.0, "about the face"


def test_other_detectors_give_their_own_points(astronaut, mediapipe):
    (face,) = detect_landmarks(astronaut, mediapipe)
    assert face.dense is None and list(sets_of_face(face)) == ["68", "478"]


def test_all_faces_or_the_largest(astronaut, own_detector):
    two = np.concatenate([astronaut, astronaut[::2, ::2].repeat(2, axis=0)], axis=1)
    assert len(detect_landmarks(two, own_detector, faces="all")) == 2
    (largest,) = detect_landmarks(two, own_detector)
    assert largest.box[2] < astronaut.shape[1]


def test_photos_without_a_face_or_its_points_are_errors(astronaut, own_detector):
    with pytest.raises(recon.NoFaceError, match="no face was found in array"):
        detect_landmarks(np.full((90, 120, 3), 128, np.uint8), own_detector)
    assert recon.NoFaceError is NoFaceError

    class Boxes:
        """Finds the box of a face alone."""

        name = "boxes"

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

        def detect(self, image, min_face_px):
            found = own_detector.detect(image, min_face_px)
            return [dataclasses.replace(face, landmarks478=None, landmarks68=None, dense=None) for face in found]

    with pytest.raises(NoFaceError, match="a face was found in array .*, but no landmarks on it"):
        detect_landmarks(astronaut, Boxes())


def test_a_checkpoint_needs_the_detector_that_takes_it(astronaut, own_detector, landmark_checkpoint):
    with pytest.raises(
        ValueError, match="a checkpoint is for the detector 'open'; 'mediapipe' has networks of its own"
    ):
        detect_landmarks(astronaut, "mediapipe", checkpoint=landmark_checkpoint)
    with pytest.raises(ValueError, match="this one is open and has its network"):
        detect_landmarks(astronaut, own_detector, checkpoint=landmark_checkpoint)


def test_the_sets_are_known_before_any_photo(landmark_checkpoint):
    known = detector_info(checkpoint=landmark_checkpoint)
    assert isinstance(known.detector, DenseLandmarkDetector) and known.network == landmark_checkpoint
    assert sorted(known.sets) == ["478", "520", "68"]
    other = detector_info("mediapipe")
    assert other.network is None and other.sets == ("68", "478")


def test_an_onnx_file_takes_the_checkpoints_place(astronaut, landmark_checkpoint, exported, open_model, own_detector):
    points5 = own_detector.detect(astronaut, 20.0)[0].points5
    by_torch, by_onnx = LandmarkRegressor(landmark_checkpoint), LandmarkRegressor(exported)
    assert by_onnx.point_sets == by_torch.point_sets
    wanted, found = by_torch(astronaut, points5), by_onnx(astronaut, points5)
    for name in ("points_px", "sigma_px", "sigma_depth_px", "visible"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=0.0, atol=1e-3, err_msg=name)
    assert found.sets == wanted.sets
    LandmarkRegressor(exported, open_model)  # its own face model


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_a_network_of_other_landmarks_is_refused(landmark_checkpoint, exported, open_model, tmp_path, kind):
    network, _ = load_landmark_network(landmark_checkpoint)
    path = tmp_path / f"other.{kind}"
    if kind == "onnx":
        export_landmark_onnx(network, "f00d", path)
    else:
        save_landmark_network(path, network, "f00d", {})
    with pytest.raises(CheckpointError, match=r"was trained for other landmarks .* fingerprint 'f00d'"):
        LandmarkRegressor(path, open_model)
    LandmarkRegressor(path)
