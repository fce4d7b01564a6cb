"""The lifting network applied to photos."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from recon.cli import main
from recon.detection import Face
from recon.detection.align import align
from recon.fitting import InitialSigma
from recon.inference import estimator
from recon.inference.lifting import FaceLifter, LiftingFunction, landmarks_in_crop
from recon.inference.regress import FaceRegressor, default_checkpoint
from recon.io.image import read_image
from recon.networks.head import FaceBlocks
from recon.networks.landmark_checkpoint import landmark_fingerprint
from recon.networks.lifting_checkpoint import load_lifting_network, save_lifting_network
from recon.networks.lifting_network import LiftingNetwork, LiftingNetworkConfig
from recon.networks.lifting_onnx import OnnxLiftingNetwork, compare_lifting_with_torch, export_lifting_onnx
from recon.networks.network_file import CheckpointError
from recon.networks.onnx_file import OnnxError
from recon.reconstructor import Reconstructor
from recon.rotation import rotation_angle

_SETS = ("520", "478")


@pytest.fixture(scope="module")
def photo():
    return read_image(astronaut())


@pytest.fixture(scope="module")
def face(photo, open_model):
    return Reconstructor(open_model, quality="fast").detect(photo)[0]


@pytest.fixture(scope="module")
def checkpoint(open_model, tmp_path_factory):
    """A network with random layers: every input counts."""
    torch.manual_seed(0)
    network = LiftingNetwork(LiftingNetworkConfig(_SETS, width=16, blocks=1), FaceBlocks.of(open_model)).eval()
    for layer in (network.heads, network.sigmas):
        torch.nn.init.normal_(layer.weight, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "lifting.safetensors"
    fingerprint = landmark_fingerprint(open_model, _SETS)
    save_lifting_network(path, network, fingerprint, {})
    export_lifting_onnx(network, fingerprint, path.with_suffix(".onnx"))
    return path


def test_landmarks_go_to_the_crop_and_their_sigmas_with_them(face):
    framing = align(face.points5, 100, remove_roll=True)
    found = landmarks_in_crop(face.dense, framing)
    wanted = framing.crop_points(face.dense.points_px[:, :2]) / 100.0 - 0.5
    np.testing.assert_allclose(found.points[0, :, :2].numpy(), wanted, atol=1e-5)
    for name, px in (("log_sigma", face.dense.sigma_px), ("log_sigma_depth", face.dense.sigma_depth_px)):
        np.testing.assert_allclose(
            getattr(found, name)[0].exp().numpy(), px * framing.scale / 100.0, rtol=1e-4, err_msg=name
        )
    np.testing.assert_allclose(found.visible[0].sigmoid().numpy(), face.dense.visible, atol=2e-4)


def test_the_head_of_the_package_lies_on_the_face(open_model, photo, face):
    found = FaceLifter(open_model, default_checkpoint("open"))(photo, face)
    marks = open_model.landmarks68(open_model.shape(found.coefficients.identity, found.coefficients.expression))
    px = found.photo_camera.to_pixels(found.photo_camera.to_camera(marks))[0].numpy()
    error = np.linalg.norm(px - face.dense.subset("68").points_px[:, :2], axis=1) / face.size_px
    assert error[17:].mean() < 0.025
    neutral = Reconstructor(open_model, quality="fast").fit_face(photo, face)
    assert float(rotation_angle(neutral.camera.rotation, found.photo_camera.rotation)) < 0.1


def test_a_turned_photo_has_the_same_head(open_model, photo, face):
    lifter = FaceLifter(open_model, default_checkpoint("open"))
    upright = lifter(photo, face)
    turned_photo = dataclasses.replace(photo, pixels=np.ascontiguousarray(np.rot90(photo.pixels)))
    turned_face = Reconstructor(open_model, quality="fast").detect(turned_photo)[0]
    turned = lifter(turned_photo, turned_face)
    assert float((turned.coefficients.identity - upright.coefficients.identity).abs().mean()) < 0.15
    # A quarter turn to the left, in the camera frame too.
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    angle = rotation_angle(turned.photo_camera.rotation, quarter @ upright.photo_camera.rotation)
    assert float(angle) < 0.05


def test_faces_of_other_detectors_are_looked_at_anew(open_model, photo, face):
    lifter = FaceLifter(open_model, default_checkpoint("open"))
    bare = lifter(photo, Face(face.box, face.points5, 0.9, "other")).coefficients
    full = lifter(photo, face).coefficients
    assert float((bare.identity - full.identity).abs().mean()) < 0.1


def test_what_it_states_is_turned_into_the_photos_frame(open_model, checkpoint, photo, face):
    """Errors about the head's ray, of a head far from the axis, told in the camera's frame."""
    beside = dataclasses.replace(photo, focal_px=400.0)
    found = FaceLifter(open_model, checkpoint)(beside, face)
    crop, in_photo = found.sigma, found.photo_sigma
    turn = found.photo_camera.rotation[0] @ found.crop_camera.rotation[0].T
    error = torch.tensor([0.02, -0.01, 0.03])
    torch.testing.assert_close(
        in_photo.rotation_root @ (turn @ error), crop.rotation_root @ error, atol=1e-4, rtol=1e-4
    )
    assert torch.equal(in_photo.identity, crop.identity)


def test_hybrid_weighs_each_coefficient_by_what_is_stated(open_model, checkpoint, photo, face):
    made = estimator.RegressionEstimator(open_model, checkpoint, torch.device("cpu"))
    sigma = made.initial_estimate([photo, photo], [face, face]).sigma
    stated = made.regressor(photo, face).photo_sigma
    assert isinstance(sigma, InitialSigma)
    torch.testing.assert_close(sigma.identity, estimator.WIDENING * stated.identity)
    torch.testing.assert_close(sigma.expression[1], estimator.WIDENING * stated.expression)
    torch.testing.assert_close(estimator.WIDENING * sigma.rotation_rad[1], stated.rotation_root)
    head = Reconstructor(open_model, method="hybrid", checkpoint=checkpoint, quality="fast").fit_face(photo, face)
    assert bool(torch.isfinite(head.identity).all())


def test_onnx_gives_the_same_head(open_model, checkpoint, photo, face):
    first = FaceLifter(open_model, checkpoint)(photo, face)
    second = FaceLifter(open_model, checkpoint.with_suffix(".onnx"))(photo, face)
    for name, tensor in first.coefficients.tensors().items():
        torch.testing.assert_close(second.coefficients.tensors()[name], tensor, atol=1e-3, rtol=1e-3, msg=name)
    torch.testing.assert_close(second.sigma.rotation_root, first.sigma.rotation_root, atol=1e-2, rtol=1e-3)
    network, _ = load_lifting_network(checkpoint)
    difference, seconds = compare_lifting_with_torch(network, checkpoint.with_suffix(".onnx"), repeats=2)
    assert difference < 1e-4 and seconds > 0.0
    exported = OnnxLiftingNetwork(checkpoint.with_suffix(".onnx"))
    assert isinstance(exported, LiftingFunction) and isinstance(network, LiftingFunction)
    landmarks = landmarks_in_crop(face.dense.subset("68"), align(face.points5, 224, remove_roll=True))
    with pytest.raises(ValueError, match="takes 998 landmarks, got 68"):
        exported(landmarks, torch.eye(3)[None])


def test_networks_are_told_apart_by_their_files(open_model, checkpoint, tmp_path):
    for path in (checkpoint, checkpoint.with_suffix(".onnx")):
        assert isinstance(estimator.open_regressor(open_model, path, torch.device("cpu")), FaceLifter)
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        estimator.open_regressor(open_model, foreign, torch.device("cpu"))
    with pytest.raises(OnnxError, match="no ONNX file at"):
        estimator.open_regressor(open_model, tmp_path / "none.onnx", torch.device("cpu"))
    with pytest.raises(CheckpointError, match="is no regressor checkpoint"):
        FaceRegressor(open_model, checkpoint)


def test_networks_of_other_landmarks_are_refused(open_model, checkpoint, tmp_path):
    network, _ = load_lifting_network(checkpoint)
    other = save_lifting_network(tmp_path / "other.safetensors", network, "abc", {})
    with pytest.raises(CheckpointError, match="trained for other landmarks .fingerprint 'abc'"):
        FaceLifter(open_model, other)
    exported = export_lifting_onnx(network, "abc", tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="trained for other landmarks .fingerprint 'abc'"):
        FaceLifter(open_model, exported)


def test_it_is_exported_by_the_command(checkpoint, tmp_path, capsys):
    out = tmp_path / "lifting.onnx"
    assert main(["export-onnx", str(out), "--checkpoint", str(checkpoint)]) == 0
    assert "largest relative difference from torch" in capsys.readouterr().out
    assert OnnxLiftingNetwork(out).config.width == 16
