"""The front door."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from skimage.data import astronaut

from bfm.model import MorphableModel
from recon.camera import WeakPerspectiveCamera
from recon.cli import main
from recon.color import encode_srgb
from recon.detection import Face
from recon.export import read_camera
from recon.lighting import ambient, lamps_to_sh
from recon.reconstructor import METHODS, NoFaceError, Reconstructor, choose_device
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, rotation_angle


@pytest.fixture(scope="module")
def reconstructor():
    return Reconstructor(quality="fast", device="cpu")


@pytest.fixture(scope="module")
def head(reconstructor):
    return reconstructor(astronaut())[0]


def test_unknown_choices_are_refused_before_work():
    with pytest.raises(ValueError, match="quality must be fast, default or best, got 'hasty'"):
        Reconstructor(quality="hasty")
    with pytest.raises(ValueError, match="unknown method 'magic'"):
        Reconstructor(method="magic")
    with pytest.raises(ValueError, match="device must be auto, cpu or cuda, got 'abacus'"):
        Reconstructor(device="abacus")


def test_a_gpu_is_for_networks_unless_a_fit_is_asked_to_take_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device("auto", method).type for method in METHODS] == ["cpu", "cuda", "cpu"]
    assert choose_device("cuda:1", "fit") == torch.device("cuda:1") and choose_device("cpu", "regress").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", "regress").type == "cpu"


def test_a_picture_without_a_face_says_so(reconstructor):
    with pytest.raises(NoFaceError, match="no face was found"):
        reconstructor(np.full((120, 160, 3), 90, dtype=np.uint8))


class _ProfileDetector:
    """Finds a face and no landmarks on it, as happens at 90 degrees."""

    name = "profile"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def detect(self, image, min_face_px):
        return [Face(np.array([10.0, 10.0, 60.0, 70.0]), np.zeros((5, 2)) + np.arange(5)[:, None], 0.9, self.name)]


def test_a_face_without_landmarks_and_no_network_to_start_from_says_so(reconstructor):
    mine = MorphableModel(dataclasses.replace(reconstructor.model.data(), name="mine"))
    with pytest.raises(NoFaceError, match="no landmarks on it, .* must start from a network: no trained network comes"):
        Reconstructor(mine, quality="fast", device="cpu", detector=_ProfileDetector())(astronaut())


def test_the_head_lands_on_the_face(head):
    # The astronaut's face spans about x 165..275 and y 65..185 of 512.
    x, y = head.landmarks68.T
    assert 150 < x.min() < 200 and 250 < x.max() < 290
    assert 60 < y.min() < 110 and 160 < y.max() < 200
    assert head.fit_report.landmark_error_percent < 3.0
    # The distance of a photo without a focal length follows from its perspective, roughly.
    assert 0.05 < head.fit_report.distance_sigma < 0.8 and head.to_dict()["quality"]["distance_sigma"] > 0.0
    assert any("depth of the face are known to" in warning for warning in head.fit_report.warnings)
    assert abs(head.pose.yaw) < 15 and abs(head.pose.roll) < 15
    assert head.expression_weights["mouthSmileLeft"] > 0.1


def test_maps_agree_with_each_other(head):
    depth_mm, normals = head.depth_map(), head.normal_map()
    inside = np.isfinite(depth_mm)
    assert depth_mm.shape == head.photo.pixels.shape[:2]
    assert 0.02 < inside.mean() < 0.5
    assert 1000.0 < np.median(depth_mm[inside]) < 2000.0, "of a portrait"
    np.testing.assert_allclose(np.linalg.norm(normals[inside], axis=1), 1.0, atol=1e-4)
    assert np.isnan(normals[~inside]).all()
    changed = (head.overlay() != head.photo.pixels).any(axis=2)
    assert (changed & ~inside).sum() < 0.05 * inside.sum()


def test_saved_files_are_read_back(head, tmp_path):
    written = head.save(tmp_path / "näme mit raum", formats=("glb", "ply"), texture_size=128)
    assert {path.name for path in written} >= {"head.glb", "head.ply", "depth.png", "depth.npy", "face.json"}
    folder = tmp_path / "näme mit raum"
    numbers = json.loads((folder / "face.json").read_text())
    assert numbers["pose"]["yaw"] == pytest.approx(head.pose.yaw, abs=1e-3)
    assert len(numbers["expression"]) == 52
    ply = trimesh.load(folder / "head.ply", process=False)
    np.testing.assert_allclose(ply.vertices, head.vertices, atol=1e-3)
    glb = trimesh.load(folder / "head.glb", force="mesh", process=False)
    assert 0.2 < np.ptp(glb.vertices[:, 1]) < 0.4, "GLB is in metres"


def test_texture_takes_the_photo_where_it_is_seen(head):
    removed, baked = head.texture(128), head.texture(128, light="baked")
    assert removed.shape == (128, 128, 3)
    assert removed.std() > 10
    assert (removed != baked).any()
    with pytest.raises(ValueError, match="light must be 'removed' or 'baked'"):
        head.texture(128, light="dimmed")


def _nothing(calls, images, prior):
    calls.append(tuple(images.shape))
    return torch.zeros_like(images[:, :1])


def test_a_segmenter_of_ones_own_decides_what_the_texture_takes():
    """One that finds no skin anywhere leaves a texture of albedo alone; it is asked by the fit, then by the texture."""
    calls = []
    segmenter = functools.partial(_nothing, calls)
    covered = Reconstructor(quality="fast", device="cpu", segmenter=segmenter)(astronaut())[0]
    assert len(calls) == 1
    albedo = covered.texture(128)
    assert len(calls) == 2
    elsewhere = dataclasses.replace(covered, photo=dataclasses.replace(covered.photo, pixels=255 - astronaut()))
    assert np.array_equal(albedo, elsewhere.texture(128))


def test_a_segmenter_of_ones_own_decides_where_a_networks_answer_is_measured():
    def left_half(images, prior):
        mask = torch.ones_like(images[:, :1])
        mask[..., images.shape[-1] // 2 :] = 0.0
        return mask

    settings = {"method": "regress", "device": "cpu"}
    residuals = [
        Reconstructor(**settings, segmenter=segmenter)(astronaut())[0].fit_report.photometric_residual
        for segmenter in (None, left_half, lambda images, prior: torch.zeros_like(images[:, :1]))
    ]
    assert len(set(residuals)) == 3 and residuals[2] == 0.0


def test_a_parser_of_the_old_form_still_works():
    calls = []

    def nothing(pixels, guess):
        calls.append((pixels.shape, guess.bare.dtype))
        return np.zeros(guess.face.shape)

    with pytest.warns(FutureWarning, match="face_parser is now segmenter"):
        made = Reconstructor(quality="fast", device="cpu", face_parser=nothing)
    covered = made(astronaut())[0]
    assert calls == [((160, 160, 3), np.dtype(bool))]
    new = dataclasses.replace(covered, segmenter=functools.partial(_nothing, []))
    assert np.array_equal(covered.texture(128), new.texture(128)) and len(calls) == 2
    with pytest.raises(ValueError, match="leave out face_parser"):
        Reconstructor(face_parser=nothing, segmenter=lambda images, prior: images[:, :1])


def test_command_reports_and_goes_on(tmp_path, capsys):
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (90, 70), "gray").save(photos / "a blank.png")
    (photos / "b broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    code = main(["reconstruct", str(photos), "-o", str(tmp_path / "out"), "--quality", "fast", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "no face" in rows[0]["reason"]
    assert "b broken.jpg" in rows[1]["reason"]
    assert not list((tmp_path / "out").iterdir()), "nothing half-written"


def test_command_refuses_wrong_usage(tmp_path, capsys):
    assert main(["reconstruct", str(tmp_path / "none.jpg"), "-o", str(tmp_path / "out")]) == 2
    assert "no such photo or folder" in capsys.readouterr().err
    assert main(["reconstruct", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no pictures in" in capsys.readouterr().err
    assert main(["demo", "-o", str(tmp_path / "out"), "--format", "fbx"]) == 2
    assert "unknown mesh format 'fbx'; known: glb, obj, ply, stl, usdz" in capsys.readouterr().err
    blocker = tmp_path / "file"
    blocker.write_text("x")
    assert main(["demo", "-o", str(blocker / "out")]) == 1
    assert "cannot write to" in capsys.readouterr().err


def test_demo_writes_one_whole_folder_and_keeps_it(tmp_path, capsys):
    arguments = ["demo", "-o", str(tmp_path), "--quality", "fast", "--texture-size", "64"]
    assert main(arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"astronaut"}
    assert {"head.glb", "overview.png", "face.json"} <= {path.name for path in (tmp_path / "astronaut").iterdir()}
    stamp = (tmp_path / "astronaut" / "face.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(arguments) == 0
    assert "kept" in capsys.readouterr().out
    assert (tmp_path / "astronaut" / "face.json").stat().st_mtime_ns == stamp


def _rendered_head(tmp_path, model):
    """A head that a detector finds, rendered under weak perspective."""
    camera = WeakPerspectiveCamera.at(
        euler_to_matrix(torch.tensor([[0.05, 0.25, 0.0]])),
        torch.tensor([[0.0, 30.0, -700.0]]),
        size=(320, 300),
        focal_px=torch.full((1, 2), 840.0),
    )
    lighting = ambient(torch.full((1, 3), 0.6)) + lamps_to_sh(torch.tensor([[[0.4, 0.5, 1.0]]]), torch.ones(1, 1, 3))
    with torch.no_grad():
        mesh = Mesh.of(model.shape(), Topology.of(model.faces, model.n_vertices), model.albedo())
        rendered = render(mesh, camera, lighting, (320, 300))
    image = encode_srgb(rendered.image + 0.2 * (1.0 - rendered.mask), model.albedo_space)[0].permute(1, 2, 0)
    path = tmp_path / "drawn.png"
    Image.fromarray((255.0 * image).round().byte().numpy()).save(path)
    return path, camera


def test_the_command_fits_under_weak_perspective_and_white_light(reconstructor, tmp_path, capsys):
    path, truth = _rendered_head(tmp_path, reconstructor.model)
    arguments = ["reconstruct", str(path), "-o", str(tmp_path / "out"), "--quality", "fast", "--texture-size", "64"]
    assert main([*arguments, "--camera", "weak_perspective", "--white-light"]) == 0
    written = tmp_path / "out" / "drawn" / "face.json"
    camera = read_camera(written)
    assert isinstance(camera, WeakPerspectiveCamera)
    torch.testing.assert_close(camera.scale_px_per_mm, truth.scale_px_per_mm, rtol=0.06, atol=0.0)
    assert float(rotation_angle(camera.rotation, truth.rotation).rad2deg()) < 8.0
    lighting = np.array(json.loads(written.read_text())["lighting"])
    np.testing.assert_array_equal(lighting, lighting[:, :1].repeat(3, axis=1))
    capsys.readouterr()
    # Another camera makes another head: the finished one is not kept for it.
    assert main(arguments) == 1
    assert 'camera was "weak_perspective", is "perspective"; white_light was true, is false' in capsys.readouterr().out


def test_regress_has_the_camera_and_light_of_its_network(tmp_path, capsys):
    for options in ({"camera": "weak_perspective"}, {"white_light": True}):
        with pytest.raises(ValueError, match="camera and the light that its network was trained with"):
            Reconstructor(method="regress", **options)
    command = ["demo", "-o", str(tmp_path), "--method", "regress"]
    assert main([*command, "--camera", "weak_perspective"]) == 2
    assert main([*command, "--white-light"]) == 2
    assert capsys.readouterr().err.count("--camera and --white-light are for --method fit and hybrid") == 2
