import argparse
import os

import numpy as np
import pytest
from PIL import Image

from bfm.data import ModelData
from bfm.model import MorphableModel
from recon.commands import render


def small_model():
    """A tetrahedron of head size that grows with its one identity component and reddens with its albedo one."""
    corners = np.array([[0, 110, 0], [-90, -60, 40], [90, -60, 40], [0, -30, -90]], np.float32)
    red = np.zeros((4, 3, 1), np.float32)
    red[:, 0] = 0.2
    return MorphableModel(
        ModelData(
            name="small",
            licence="none",
            source="made up",
            mean_shape=corners,
            identity_basis=0.1 * corners[..., None],
            expression_basis=np.zeros((4, 3, 0), np.float32),
            faces=np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]),
            mean_albedo=np.full((4, 3), 0.5, np.float32),
            albedo_basis=red,
        )
    )


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.setattr(render, "load", lambda name, path: small_model())

    def run(*words):
        parser = argparse.ArgumentParser()
        render.add_parser(parser.add_subparsers())
        arguments = parser.parse_args(["render", *words, str(tmp_path / "out.png")])
        code = arguments.run(arguments)
        return code, np.asarray(Image.open(tmp_path / "out.png")) if code == 0 else None

    return run


def test_draws_the_mean_face_on_white(call, tmp_path):
    code, picture = call()
    assert code == 0
    assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8
    assert (picture[0] == 255).all() and (picture[256, 256] < 250).any()
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]  # nothing half-written is left


def test_a_link_laid_in_the_way_is_not_followed(call, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / f"out.png.{os.getpid()}.part").symlink_to(victim)
    assert call("--size", "64")[0] == 0
    assert victim.read_text() == "mine"


def test_a_drawing_replaces_a_drawing_but_no_file_of_the_users(call, tmp_path, capsys):
    assert call("--size", "64")[0] == 0
    assert call("--size", "80")[1].shape == (80, 80, 3)
    out, victim = tmp_path / "out.png", tmp_path / "victim.png"
    Image.new("RGB", (9, 9)).save(victim)
    before = victim.read_bytes()
    out.unlink()
    out.symlink_to(victim)
    assert call("--size", "64")[0] == 2
    assert "exists and was not made by recon" in capsys.readouterr().err
    victim.replace(out)
    assert call("--size", "64")[0] == 2
    assert out.read_bytes() == before


def test_size_is_height_then_width_and_the_head_is_in_the_middle(call):
    _, picture = call("--size", "60x90", "--show", "mask")
    assert picture.shape == (60, 90, 3)
    rows, columns = np.nonzero(picture[..., 0] > 128)
    assert abs(rows.mean() - 30) < 6 and abs(columns.mean() - 45) < 3


def test_a_seed_gives_the_same_face_again_and_another_seed_another(call):
    first, again, other, mean = (
        call("--size", "64", *w)[1] for w in (["--seed", "3"], ["--seed", "3"], ["--seed", "4"], [])
    )
    assert (first == again).all() and (first != other).any() and (first != mean).any()


def test_yaw_turns_the_face(call):
    straight, right = (call("--size", "64", "--yaw", yaw)[1] for yaw in ("0", "30"))
    assert (straight != right).any()


@pytest.mark.parametrize("shown", ["normals", "depth", "albedo", "mask"])
def test_maps(call, shown):
    _, picture = call("--size", "64", "--show", shown)
    assert (picture[0, 0] == 0).all() and picture.max() > 100


@pytest.mark.parametrize("size", ["0", "12x", "3x4x5", "-5", "99999", "big"])
def test_sizes_that_are_none(call, size, capsys):
    with pytest.raises(SystemExit) as exit_info:
        call(f"--size={size}")
    assert exit_info.value.code == 2
    assert "is no side or HEIGHTxWIDTH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [(["--distance", "0"], "--distance must be positive"), (["--background", "2"], "--background must lie in [0, 1]")],
)
def test_wrong_usage(call, words, text, capsys):
    assert call(*words)[0] == 2
    assert text in capsys.readouterr().err


def test_wrong_usage_is_said_before_the_model_is_loaded(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(render, "load", lambda name, path: pytest.fail("loaded"))
    parser = argparse.ArgumentParser()
    render.add_parser(parser.add_subparsers())
    for out, text in ((tmp_path / "out.jpg", "should end in .png"), (tmp_path / "no" / "out.png", "does not exist")):
        arguments = parser.parse_args(["render", str(out)])
        assert arguments.run(arguments) == 2
        assert text in capsys.readouterr().err


def test_unknown_and_missing_models(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    render.add_parser(parser.add_subparsers())
    out = str(tmp_path / "out.png")
    for words, code, text in (
        (["--model", "nope"], 2, "unknown face model 'nope'"),
        (["--model", "flame", "--path", str(tmp_path)], 1, "flame"),
    ):
        arguments = parser.parse_args(["render", *words, out])
        assert arguments.run(arguments) == code
        assert text in capsys.readouterr().err
