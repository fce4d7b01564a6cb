"""Measured depth on the command line: files that are given, HEIC photos that hold it, and what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recon.cli import main
from recon.io.png import encode_png
from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.crop_depth import CLASSES, CropDepthConfig, CropDepthNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "io"))
from heic_writer import apple_xmp, can_write, heic_bytes


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


def _bowl_mm(size, middle=(230.0, 130.0)):
    """The relief of a face about the astronaut's, 700 mm away."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return 700.0 + 0.03 * ((x * 512 / size[1] - middle[0]) ** 2 + (y * 512 / size[0] - middle[1]) ** 2)


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut).save(path)
    return path


def _run(photo, network, out, *more):
    return main(["depth", str(photo), "-o", str(out), "--network", str(network), "--json", *more])


def test_given_depth_is_shown_beside_the_networks(photo, network, tmp_path, capsys):
    np.save(tmp_path / "d.npy", (_bowl_mm((256, 256)) / 1000.0).astype(np.float32))
    out = tmp_path / "out"
    assert _run(photo, network, out, "--depth", str(tmp_path / "d.npy"), "--depth-unit", "m", "--focal-px", "800") == 0
    (row,) = json.loads(capsys.readouterr().out)
    depth_mm = np.array(Image.open(out / "astronaut" / "depth.png"), dtype=np.float64) * 0.1
    seen = depth_mm > 0
    expected = np.median((np.kron(_bowl_mm((256, 256)), np.ones((2, 2))) - depth_mm)[seen])
    assert row["measured_farther_mm"] == pytest.approx(expected, abs=0.2)
    sheet = np.array(Image.open(out / "astronaut" / "measured_beside.png"))
    assert sheet.shape[1] > 3 * sheet.shape[0] and sheet.std() > 20
    assert _run(photo, network, out, "--focal-px", "800") == 1, "made from something else"
    assert "measured_depth" in json.loads(capsys.readouterr().out)[0]["reason"]


@pytest.mark.parametrize("factor", [0.001, 0.1, 10.0])
def test_a_file_in_another_unit_is_noticed(factor, photo, network, tmp_path, capsys):
    np.save(tmp_path / "d.npy", factor * _bowl_mm((256, 256)))
    assert _run(photo, network, tmp_path / "out", "--depth", str(tmp_path / "d.npy")) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "failed" and f"a factor of {1.0 / factor:g} would make it one" in row["reason"]


def test_what_means_nothing_is_refused_before_work(photo, network, tmp_path, capsys):
    np.save(tmp_path / "d.npy", _bowl_mm((256, 256)))
    given = ["--depth", str(tmp_path / "d.npy")]
    for arguments, message in (
        (["--depth-unit", "m"], "say what the file of --depth holds"),
        (["--depth", str(tmp_path / "none.npy")], "no such file of depth"),
        (["--depth", str(photo.with_suffix(".png")), "--depth-unit", "mm"], None),
        (["--depth", str(network)], "depth is read from .png, .exr, .npy"),
    ):
        code = _run(photo, network, tmp_path / "out", *arguments)
        said = capsys.readouterr()
        if message is None:
            assert code == 1 and "expected a 16-bit grey PNG" in json.loads(said.out)[0]["reason"]
        else:
            assert code == 2 and message in said.err
    assert main(["depth", str(photo), str(photo), "-o", str(tmp_path / "two"), *given]) == 2
    assert "--depth is of one photo, got 2" in capsys.readouterr().err
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "h"), "--method", "regress", *given]) == 2
    assert "--depth is for --method fit and hybrid" in capsys.readouterr().err


def test_rays_need_a_focal_length_and_maps_the_photos_shape(photo, network, tmp_path, capsys):
    np.save(tmp_path / "d.npy", _bowl_mm((256, 256)))
    np.save(tmp_path / "wide.npy", _bowl_mm((128, 256)))
    for name, more, message in (
        ("d.npy", ["--depth-rays"], "which its file does not tell"),
        ("wide.npy", [], "they show different parts of the scene"),
    ):
        assert _run(photo, network, tmp_path / "out", "--depth", str(tmp_path / name), *more) == 1
        assert message in json.loads(capsys.readouterr().out)[0]["reason"]


def test_a_photo_without_a_face_says_so(network, tmp_path, capsys):
    path = tmp_path / "wall.png"
    path.write_bytes(encode_png(np.full((200, 300), 120, np.uint8)))
    assert _run(path, network, tmp_path / "out") == 1
    assert "no face was found" in json.loads(capsys.readouterr().out)[0]["reason"]


@pytest.mark.skipif(not can_write(), reason="FFmpeg without an HEVC encoder")
def test_a_phones_photo_brings_its_depth_and_focal_length(astronaut, network, tmp_path, capsys):
    pytest.importorskip("pi_heif")
    codes = np.round((1000.0 / _bowl_mm((128, 128)) - 0.5) / 1.5 * 255.0).clip(0, 255).astype(np.uint8)
    matrix = [[1600.0, 0.0, 1000.0], [0.0, 1600.0, 1000.0], [0.0, 0.0, 1.0]]
    path = tmp_path / "phone.heic"
    path.write_bytes(heic_bytes(astronaut, codes, apple_xmp((0.5, 2.0), matrix=matrix, size=(2000, 2000))))
    assert _run(path, network, tmp_path / "out") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["focal_px"] == pytest.approx(0.8 * 512, abs=0.1) and row["measured_farther_mm"] is not None
    assert (tmp_path / "out" / "phone" / "measured_beside.png").is_file()
