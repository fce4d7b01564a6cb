"""``recon depth``: the files of each face, and what is refused and said."""

import json
import os
import types

import cv2
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from recon.cli import main
from recon.commands.depth import rows_text
from recon.io.output_folder import RECORD
from recon.io.pictures import read_grey16
from recon.io.read_exr import decode_exr
from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.crop_depth import CLASSES, CropDepthConfig, CropDepthNetwork
from recon.visualize.depth_picture import MAX_SIDE_PX, depth_picture


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Everything is skin, flat and towards the camera."""
    torch.manual_seed(0)
    made = CropDepthNetwork(CropDepthConfig("mobilenetv4_small_050", 64, 16))
    with torch.no_grad():
        made.maps.weight.zero_()
        made.maps.bias.zero_()
        made.maps.bias[4] = 1.0
        made.maps.bias[5 + CLASSES.index("skin")] = 5.0
    return save_depth_network(tmp_path_factory.mktemp("depth") / "flat.safetensors", made, {})


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut).save(path)
    return path


def test_every_file_tells_the_same_depth(photo, network, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["depth", str(photo), "-o", str(out), "--network", str(network), "--focal-px", "800", "--json"]
    assert main([*arguments, "--format", "png,exr,npy", "--points", "--mesh"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "done" and row["focal_px"] == 800.0 and row["focal_from"] == "given"
    folder = out / "astronaut"
    assert sorted(os.listdir(folder)) == sorted(
        [RECORD, "camera.json", "depth.exr", "depth.npy", "depth.png", "depth_colour.png", "mesh.glb", "mesh.ply"]
        + ["normals.png", "points.ply"]
    )
    depth = np.load(folder / "depth.npy")
    assert depth.shape == (512, 512)
    seen = np.isfinite(depth)
    np.testing.assert_array_equal(decode_exr((folder / "depth.exr").read_bytes())["Z"], depth)
    steps = read_grey16(folder / "depth.png")
    np.testing.assert_allclose(0.1 * steps[seen], depth[seen], atol=0.051)
    assert not steps[~seen].any() and row["pixels"] == seen.sum()
    camera = json.loads((folder / "camera.json").read_text())
    intrinsics = np.array(camera["intrinsics"])
    points = np.asarray(trimesh.load(folder / "points.ply").vertices)
    seen_px = (points * [1.0, -1.0, -1.0]) @ intrinsics.T
    rows, columns = np.nonzero(seen)
    np.testing.assert_allclose(seen_px[:, :2] / seen_px[:, 2:], np.stack((columns, rows), axis=1) + 0.5, atol=1e-3)
    assert camera["focal_length_from"] == "given" and camera["photo_size"] == {"width": 512, "height": 512}
    mesh = trimesh.load(folder / "mesh.ply", process=False)
    assert len(mesh.vertices) > 500 and mesh.body_count == 1
    glb = trimesh.load(folder / "mesh.glb", force="mesh")
    np.testing.assert_allclose(1000.0 * glb.bounds, mesh.bounds, atol=0.01)
    assert main(arguments) == 1, "made from something else: refused"
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "refused" and "format" in row["reason"]


def test_a_fitted_head_is_shown_beside_the_network(photo, network, tmp_path, monkeypatch):
    """A fit that is the network's head twice as large and as far is that head in the size that agrees: no difference."""
    from recon.inference.depth import DepthEstimator
    from recon.reconstructor import Reconstructor

    asked, estimator = [], DepthEstimator(network)

    def fit_face(self, given, face):
        asked.append((given.focal_px, given.measured_depth))
        twice_mm = 2.0 * estimator(given, face, 800.0).depth_map()
        return types.SimpleNamespace(depth_map=lambda: twice_mm)

    monkeypatch.setattr(Reconstructor, "fit_face", fit_face)
    out = tmp_path / "out"
    arguments = ["depth", str(photo), "-o", str(out), "--network", str(network), "--focal-px", "800"]
    assert main([*arguments, "--beside-fit", "fast"]) == 0
    assert asked == [(800.0, None)]
    sheet = cv2.imread(str(out / "astronaut" / "fit_beside.png"))
    assert sheet.shape[1] > 3 * sheet.shape[0]
    difference = sheet[30:, -sheet.shape[1] // 4 :]
    assert difference.min() > 190  # white where both agree, grey where one is not known: no blue and no red
    assert main([*arguments, "--overwrite"]) == 0 and not (out / "astronaut" / "fit_beside.png").exists()


def test_wrong_usage_is_said_before_any_photo_is_read(photo, network, tmp_path, capsys):
    start = ["depth", str(photo), "-o", str(tmp_path / "out")]
    for more, message in (
        (["--network", str(network), "--format", "tiff"], "unknown depth format 'tiff'; known: png, exr, npy"),
        (["--network", str(network), "--focal-px", "-5"], "--focal-px must be a positive number"),
        (["--network", str(tmp_path / "none.safetensors")], "no checkpoint at"),
    ):
        assert main([*start, *more]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photo_without_a_face_is_a_row(network, tmp_path, capsys):
    path = tmp_path / "wall.png"
    Image.fromarray(np.full((120, 160), 90, dtype=np.uint8)).save(path)
    assert main(["depth", str(path), "-o", str(tmp_path / "out"), "--network", str(network), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "failed" and "no face was found" in row["reason"]


def test_an_assumed_focal_length_is_said():
    row = {"name": "a", "status": "done", "nearest_mm": 812.3, "focal_px": 700.0, "focal_from": "assumed", "pixels": 5}
    text = rows_text([row, {"name": "b", "status": "failed", "reason": "no face"}])
    assert "812.3" in text and "no face" in text and "its shape in mm stays" in text
    assert "its shape" not in rows_text([{**row, "focal_from": "EXIF"}])


def test_the_picture_is_warm_where_it_is_near_and_bounded():
    depth = np.full((60, 80), np.nan, dtype=np.float32)
    depth[10:50, 10:40], depth[10:50, 40:70] = 500.0, 600.0
    picture = depth_picture(depth)
    assert picture.shape[0] == 60 and picture.shape[1] > 80
    near, far = (cv2.cvtColor(picture[30:31, x : x + 1], cv2.COLOR_RGB2HSV)[0, 0, 0] for x in (20, 60))
    assert near < 20 or near > 165
    assert 100 < far < 150
    assert (picture[5, 5] == 255).all()
    large = depth_picture(np.linspace(400.0, 700.0, 3000 * 40, dtype=np.float32).reshape(3000, 40))
    assert large.shape[0] == MAX_SIDE_PX
    with pytest.raises(ValueError, match="holds no depth"):
        depth_picture(np.full((4, 5), np.nan))
