"""``recon calibrate`` on faces that were rendered before."""

from __future__ import annotations

import importlib
import shutil

import numpy as np
import pytest

from recon.cli import main
from recon.detection.error_model import load_error_model
from recon.detection.face import Face


class _Guess:
    """A detector that says the same of every picture: the points of nobody."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def detect(self, image, min_face_px):
        height, width = image.shape[:2]
        points = np.random.default_rng(1).uniform(0.3, 0.7, (478, 3)) * [width, height, 0.0]
        return [Face(np.array([0.0, 0.0, width, height]), points[:5, :2], 1.0, "test", landmarks478=points)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("rendered") / "faces"
    settings = ["--clean", "--size", "32x40", "--set", "framing=free", "--set", "yaw_deg=20"]
    assert main(["synthesize", "-o", str(out), "--count", "70", *settings]) == 0
    return out


def test_rendered_faces_alone(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module("recon.detection.detect"), "open_detector", lambda name: _Guess())
    out = tmp_path / "errors.npz"
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    next(damaged.glob("*.npz")).write_bytes(b"")
    folder = damaged
    assert main(["calibrate", "--data", str(folder), "--count", "0", "--detector", "mediapipe", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "of 69 faces were found" in said and said.count("left out") == 1
    model = load_error_model(out)
    assert model.facts["kept"] == [69] and model.facts["drawn"] == 0
    assert model.facts["faces"] + model.facts["lost"] + model.facts["missed"] == 69


def test_too_few_and_none(folder, tmp_path, capsys):
    out = ["-o", str(tmp_path / "errors.npz")]
    for arguments, sentence in (
        (["--count", "49"], "--count must be at least 50, or 0 with --data, got 49"),
        (["--data", str(tmp_path / "none"), "--count", "0"], "--data names folders that are there"),
        (["--data", str(tmp_path), "--count", "0"], "--data names folders of recon synthesize"),
    ):
        assert main(["calibrate", *arguments, *out]) == 2
        assert sentence in capsys.readouterr().err
    few = tmp_path / "few"
    assert main(["synthesize", "-o", str(few), "--count", "3", "--clean", "--size", "32x40"]) == 0
    assert main(["calibrate", "--data", str(few), "--count", "10", *out]) == 2
    assert "at least 50 faces are needed, --data has 3 and --count is 10" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))


def test_a_detector_that_finds_nobody(folder, tmp_path, monkeypatch, capsys):
    blind = _Guess()
    monkeypatch.setattr(blind, "detect", lambda image, min_face_px: [], raising=False)
    monkeypatch.setattr(importlib.import_module("recon.detection.detect"), "open_detector", lambda name: blind)
    out = tmp_path / "errors.npz"
    assert main(["calibrate", "--data", str(folder), "--count", "0", "-o", str(out)]) == 2
    assert "the detector found none of 70 synthetic faces" in capsys.readouterr().err
    assert not out.exists()
