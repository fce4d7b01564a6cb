"""Networks applied to photos: frames there and back, the two methods, the commands."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from recon.camera import CAMERAS, WeakPerspectiveCamera
from recon.cli import main
from recon.detection import Face
from recon.fitting import InitialSigma
from recon.inference import estimator
from recon.inference.regress import FaceRegressor, default_checkpoint
from recon.io.image import Photo, read_image
from recon.lighting import lamps_to_sh
from recon.networks.checkpoint import save_checkpoint
from recon.networks.head import FaceBlocks
from recon.networks.network_file import CheckpointError
from recon.networks.onnx_export import export_onnx
from recon.networks.regressor import Regressor, RegressorConfig
from recon.reconstructor import NoFaceError, Reconstructor
from recon.rotation import rotation_angle, turn_to_ray

SIZE = 64


@pytest.fixture(scope="module")
def checkpoint(open_model, tmp_path_factory):
    """An untrained network for the open model: it says "the mean head, here"."""
    torch.manual_seed(0)
    config = RegressorConfig("mobilenetv4_small_050", SIZE, fam=False, pool="grid", pool_channels=8)
    network = Regressor(config, FaceBlocks.of(open_model))
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(path, network, {})
    export_onnx(network.eval(), path.with_suffix(".onnx"))
    return path


@pytest.fixture(scope="module")
def photo():
    return read_image(astronaut())


@pytest.fixture(scope="module")
def face(photo, open_model):
    return Reconstructor(open_model, quality="fast").detect(photo)[0]


def test_an_untrained_head_lands_upright_on_a_turned_face(open_model, checkpoint, photo, face):
    regressor = FaceRegressor(open_model, checkpoint)
    for turn in (0.0, 0.6):
        cos, sin = math.cos(turn), math.sin(turn)
        centre = face.points5.mean(axis=0)
        five = (face.points5 - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre
        found = regressor(photo, dataclasses.replace(face, points5=five))
        pivot = torch.tensor([[[0.0, -33.0, -7.0]]])
        at = found.photo_camera.to_pixels(found.photo_camera.to_camera(pivot))[0, 0].numpy()
        assert np.linalg.norm(at - centre) < 0.25 * face.size_px
        up = found.photo_camera.rotation[0] @ torch.tensor([0.0, 1.0, 0.0])
        roll = math.atan2(-float(up[0]), float(up[1]))
        upright = face.points5[:2].mean(0) - face.points5[3:].mean(0)
        wanted = math.atan2(-float(upright[0]), -float(upright[1])) - turn
        assert abs(roll - wanted) < 0.15, "clockwise in the picture is negative roll"


def test_crop_and_photo_show_the_same_points_and_light(open_model, checkpoint, photo, face):
    found = FaceRegressor(open_model, checkpoint)(photo, face)
    points = 20.0 * torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    in_crop = found.crop_camera.to_pixels(found.crop_camera.to_camera(points))[0].double().numpy()
    in_photo = found.photo_camera.to_pixels(found.photo_camera.to_camera(points))[0].double().numpy()
    np.testing.assert_allclose(found.alignment.photo_points(in_crop), in_photo, atol=0.02)
    # A lamp fixed to the head shines from the same side of it in both frames.
    lamp_crop = found.crop_camera.rotation[0] @ torch.tensor([1.0, 0.0, 0.0])
    lamp_photo = found.photo_camera.rotation[0] @ torch.tensor([1.0, 0.0, 0.0])
    light = lamps_to_sh(lamp_crop[None, None], torch.ones(1, 1, 3))
    lit = dataclasses.replace(found, coefficients=dataclasses.replace(found.coefficients, lighting=light))
    torch.testing.assert_close(
        lit.photo_lighting, lamps_to_sh(lamp_photo[None, None], torch.ones(1, 1, 3)), atol=1e-4, rtol=0
    )


def test_a_known_focal_length_is_used(open_model, checkpoint, photo, face):
    regressor = FaceRegressor(open_model, checkpoint)
    far = regressor(dataclasses.replace(photo, focal_px=3000.0), face)
    near = regressor(dataclasses.replace(photo, focal_px=1000.0), face)
    assert float(far.photo_camera.focal_px[0, 0]) == pytest.approx(3000.0, rel=1e-5)
    ratio = far.photo_camera.translation_mm[0, 2] / near.photo_camera.translation_mm[0, 2]
    assert float(ratio) == pytest.approx(3.0, rel=0.03)


class _BareDetector:
    """Finds the given faces whatever the picture."""

    name = "bare"

    def __init__(self, *faces):
        self.faces = list(faces)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def detect(self, image, min_face_px):
        return self.faces


@pytest.mark.parametrize("method", ["regress", "hybrid"])
def test_networks_need_no_landmarks(open_model, checkpoint, photo, face, method):
    detector = _BareDetector(Face(face.box, face.points5, 0.9, "bare"))
    made = Reconstructor(
        open_model, method=method, checkpoint=checkpoint, detector=detector, device="cpu", quality="fast"
    )
    head = made(photo)[0]
    assert math.isnan(head.fit_report.landmark_error_percent) and 0.0 < head.fit_report.photometric_residual < 1.0
    assert any("no dense landmarks" in warning for warning in head.fit_report.warnings)
    assert head.to_dict()["quality"]["landmark_error_percent"] is None, "JSON knows no nan"
    at = head.landmarks68.mean(axis=0)
    assert np.linalg.norm(at - face.points5.mean(axis=0)) < 0.3 * face.size_px


@pytest.mark.parametrize("method", ["regress", "hybrid"])
def test_five_points_of_no_face_say_so(open_model, checkpoint, photo, face, method):
    line = Face(face.box, np.zeros((5, 2)) + np.arange(5.0)[:, None], 0.9, "bare")
    made = Reconstructor(open_model, method=method, checkpoint=checkpoint, detector=_BareDetector(line), device="cpu")
    with pytest.raises(NoFaceError, match="seems to be no face: five points on one spot or line"):
        made(photo)


def test_hybrid_comes_nearer_to_the_points(open_model, checkpoint, photo):
    settings = {"checkpoint": checkpoint, "device": "cpu", "quality": "fast"}
    regressed, refined = (Reconstructor(open_model, method=m, **settings)(photo)[0] for m in ("regress", "hybrid"))
    assert refined.fit_report.landmark_error_percent < 0.5 * regressed.fit_report.landmark_error_percent
    assert refined.fit_report.landmark_error_percent < 4.0
    assert 0.0 <= float(refined.expression.min()) and float(refined.expression.max()) <= 1.0


def test_light_and_paint_are_those_of_the_photo(open_model, checkpoint, photo, monkeypatch):
    """An untrained network says "grey light"; the photo says otherwise."""
    settings = {"method": "regress", "checkpoint": checkpoint, "device": "cpu"}
    lit = Reconstructor(open_model, **settings)(photo)[0]
    monkeypatch.setattr(estimator, "solve_light_and_albedo", lambda face, *_: face)
    plain = Reconstructor(open_model, **settings)(photo)[0]
    assert lit.fit_report.photometric_residual < 0.85 * plain.fit_report.photometric_residual
    for name in ("identity", "expression"):
        assert torch.equal(getattr(lit, name), getattr(plain, name))


def test_onnx_gives_the_same_head(open_model, checkpoint, photo, face):
    first = FaceRegressor(open_model, checkpoint)(photo, face).coefficients.tensors()
    second = FaceRegressor(open_model, checkpoint.with_suffix(".onnx"))(photo, face).coefficients.tensors()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-4, rtol=1e-4, msg=name)


def test_hybrid_is_pulled_to_the_network(open_model, checkpoint, photo, face, monkeypatch):
    """A network that is believed without reserve has the last word, points or not."""
    method = estimator.RegressionEstimator(open_model, checkpoint, torch.device("cpu"))
    said = method.initial_estimate([photo], [face]).parameters
    believed = InitialSigma(1e-4, 1e-4, 1e-4)
    monkeypatch.setattr(estimator, "SIGMA_WITH_LANDMARKS", believed)
    made = Reconstructor(open_model, method="hybrid", checkpoint=checkpoint, device="cpu", quality="fast")
    head = made.fit_face(photo, face)
    torch.testing.assert_close(head.expression, said.expression, atol=1e-3, rtol=0)
    torch.testing.assert_close(head.identity, said.identity, atol=1e-2, rtol=0)


def test_starts_of_faces_without_landmarks_have_their_own_sigma(open_model, checkpoint, photo, face):
    method = estimator.RegressionEstimator(open_model, checkpoint, torch.device("cpu"))
    plain = method.initial_estimate([photo], [face])
    assert plain.sigma == estimator.SIGMA_WITH_LANDMARKS
    bare = Face(face.box, face.points5, 0.9, "other")
    both = method.initial_estimate([photo, photo], [face, bare])
    assert both.sigma == estimator.SIGMA_WITHOUT_LANDMARKS and len(both.parameters) == 2
    torch.testing.assert_close(both.parameters.rotation[1], plain.parameters.rotation[0])


def test_a_network_made_for_landmarks_marked_anew_still_serves(open_model):
    blocks = FaceBlocks.of(open_model)
    x, y, z = blocks.pivot_mm
    assert blocks.serves(dataclasses.replace(blocks, pivot_mm=(x, y - 0.02, z + 0.02)))
    assert not blocks.serves(dataclasses.replace(blocks, pivot_mm=(x, y - 5.0, z)))
    assert not blocks.serves(dataclasses.replace(blocks, n_identity=blocks.n_identity + 1))


def test_wrong_choices_are_refused_before_work(open_model, checkpoint, tmp_path):
    with pytest.raises(ValueError, match="method 'fit' takes no checkpoint"):
        Reconstructor(open_model, checkpoint=checkpoint)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        Reconstructor(open_model, method="regress", checkpoint=tmp_path / "none.safetensors")
    small = open_model.subset(n_identity=10)
    with pytest.raises(CheckpointError, match="trained for the face model 'open' with 20543 vertices and 80/52/80"):
        Reconstructor(small, method="regress", checkpoint=checkpoint)
    with pytest.raises(CheckpointError, match="was trained for the face model"):
        Reconstructor(small, method="regress", checkpoint=checkpoint.with_suffix(".onnx"))
    with pytest.raises(CheckpointError, match="no trained network comes with the package for the face model 'flame'"):
        default_checkpoint("flame")
    with pytest.raises(
        ValueError, match="several photos of one person need method 'fit' or 'hybrid', this is 'regress'"
    ):
        Reconstructor(open_model, method="regress", checkpoint=checkpoint).same_person([astronaut()])


def test_commands(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--method", "hybrid", "--checkpoint", str(checkpoint), "--quality", "fast", "--texture-size", "32"]
    assert main(["demo", "-o", str(out), *options]) == 0
    numbers = json.loads((out / "astronaut" / "face.json").read_text())
    assert len(numbers["expression"]) == 52
    assert main(["demo", "-o", str(out), "--checkpoint", str(checkpoint), "--overwrite"]) == 2
    assert "--checkpoint is for --method regress and hybrid" in capsys.readouterr().err
    target = tmp_path / "net.onnx"
    assert main(["export-onnx", str(target), "--checkpoint", str(checkpoint)]) == 0
    assert "ms a crop on one thread" in capsys.readouterr().out
    assert main(["export-onnx", str(target), "--checkpoint", str(checkpoint)]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["export-onnx", str(tmp_path / "net.pt")]) == 2
    assert main(["export-onnx", str(target), "--checkpoint", str(tmp_path / "no.safetensors")]) == 2
    assert "no checkpoint at" in capsys.readouterr().err


def test_photo_type_is_what_the_regressor_reads(photo):
    assert isinstance(photo, Photo)


@pytest.fixture(scope="module")
def as_in_the_paper(open_model, tmp_path_factory):
    """An untrained network with weak perspective and white light."""
    torch.manual_seed(0)
    config = RegressorConfig(
        "mobilenetv4_small_050",
        SIZE,
        fam=False,
        pool="grid",
        pool_channels=8,
        camera="weak_perspective",
        white_light=True,
    )
    network = Regressor(config, FaceBlocks.of(open_model))
    path = tmp_path_factory.mktemp("weights") / "weak.safetensors"
    save_checkpoint(path, network, {})
    export_onnx(network.eval(), path.with_suffix(".onnx"))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_a_network_brings_its_own_camera_and_light(open_model, as_in_the_paper, photo, face, suffix):
    made = Reconstructor(
        open_model, method="regress", checkpoint=as_in_the_paper.with_suffix(suffix), device="cpu", quality="fast"
    )
    head = made.fit_face(photo, face)
    assert isinstance(head.camera, WeakPerspectiveCamera)
    assert head.to_dict()["camera"]["model"] == "weak_perspective"
    assert float((head.lighting.amax(dim=2) - head.lighting.amin(dim=2)).max()) < 1e-5
    assert np.linalg.norm(head.landmarks68.mean(axis=0) - face.points5.mean(axis=0)) < 0.3 * face.size_px
    assert (head.render() > 0).any() and head.texture(64).std() > 5.0


def test_crop_and_photo_show_the_same_points_under_weak_perspective(open_model, as_in_the_paper, photo, face):
    found = FaceRegressor(open_model, as_in_the_paper)(photo, face)
    points = 60.0 * torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    in_crop = found.crop_camera.to_pixels(found.crop_camera.to_camera(points))[0].double().numpy()
    in_photo = found.photo_camera.to_pixels(found.photo_camera.to_camera(points))[0].double().numpy()
    np.testing.assert_allclose(found.alignment.photo_points(in_crop), in_photo, atol=0.02)


def test_a_fit_takes_its_estimate_from_a_network_of_another_camera(open_model, as_in_the_paper, photo, face):
    """The network's weak-perspective pose as a perspective camera has it, where the head is seen alike."""
    method = estimator.RegressionEstimator(open_model, as_in_the_paper, torch.device("cpu"))
    said = method.initial_estimate([photo], [face])
    answer = method.regressor(photo, face)
    assert said.parameters.camera_model == "perspective"
    weak = answer.photo_camera
    origin = torch.zeros(1, 1, 3)
    pixels = said.points_px(origin[0], 0, weak.principal_px)
    torch.testing.assert_close(pixels, weak.to_pixels(weak.to_camera(origin))[0], atol=0.01, rtol=0.0)
    seen = turn_to_ray(weak.translation_mm) @ weak.rotation
    torch.testing.assert_close(said.parameters.rotation, seen, atol=1e-5, rtol=0.0)
    assert float(rotation_angle(seen, weak.rotation).rad2deg()) > 3.0, "the head is off the axis"
    settings = {"method": "hybrid", "checkpoint": as_in_the_paper, "device": "cpu", "quality": "fast"}
    heads = [Reconstructor(open_model, **settings, camera=name).fit_face(photo, face) for name in CAMERAS]
    assert [head.camera.model for head in heads] == list(CAMERAS)
    assert max(head.fit_report.landmark_error_percent for head in heads) < 4.0
