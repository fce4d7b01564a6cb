from __future__ import annotations

import argparse
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bfm.data import ModelData
from bfm.files import MissingModelFiles
from bfm.model import MorphableModel
from bfm.registry import ModelStatus, model_source
from recon.commands import models


def tiny() -> MorphableModel:
    return MorphableModel(
        ModelData(
            name="ict",
            licence="any use",
            source="made here",
            mean_shape=np.array([[0, 0, 0], [10, 0, 0], [0, 20, 0], [0, 0, 30]], np.float32),
            identity_basis=np.ones((4, 3, 2), np.float32),
            expression_basis=np.zeros((4, 3, 1), np.float32),
            faces=np.array([[0, 2, 1]]),
            mean_albedo=np.full((4, 3), 0.5, np.float32),
            albedo_basis=np.zeros((4, 3, 1), np.float32),
            expression_prior="unit",
            expression_names=("jawOpen",),
            regions={"face": np.array([True, True, True, False])},
        )
    )


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    seen: list[tuple] = []

    def load(name: str, path: Path | None = None) -> MorphableModel:
        seen.append((name, path))
        return tiny()

    monkeypatch.setattr(models, "load", load)
    preview = types.ModuleType("recon.visualize.model_sheet")
    preview.model_sheet = lambda model: np.full((5, 7, 3), 9, np.uint8)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "recon.visualize.model_sheet", preview)
    return seen


def recon(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="recon")
    models.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["models", *arguments])
    return parsed.run(parsed)


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ready = ModelStatus(model_source("ict"), Path("/models/ict"), ())
    away = ModelStatus(model_source("flame"), Path("/models/flame"), ("flame2023_Open.pkl",))
    monkeypatch.setattr(models, "available_models", lambda: (ready, away))
    assert recon() == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith("ict      ready") and "/models/ict" in first and "MIT" in first and "missing" not in first
    assert "26719 vertices; 100 identity, 53 expression, 0 albedo" in first
    assert second.startswith("flame    not here") and "missing   flame2023_Open.pkl" in second
    assert "needs     flame2023_Open.pkl, or flame2023.pkl, or" in second
    assert "https://flame.is.tue.mpg.de" in second


def test_check(loads: list, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert recon("--check", "ict", "--path", str(tmp_path)) == 0
    assert loads == [("ict", tmp_path)]
    out = capsys.readouterr().out
    assert "4, 10.0 x 20.0 x 30.0 mm" in out and "1, prior unit (jawOpen)" in out
    assert "1, prior normal, srgb" in out and "regions    face" in out and "landmarks  none" in out


def test_preview(loads: list, tmp_path: Path) -> None:
    assert recon("--preview", "ict", str(tmp_path / "sheet.png")) == 0
    assert loads == [("ict", None)]
    assert np.asarray(Image.open(tmp_path / "sheet.png")).shape == (5, 7, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_a_link_laid_in_the_way_is_not_followed(loads: list, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / f"sheet.png.{os.getpid()}.part").symlink_to(victim)
    assert recon("--preview", "ict", str(tmp_path / "sheet.png")) == 0
    assert victim.read_text() == "mine"
    victim.rename(tmp_path / "mine.png")
    assert recon("--preview", "ict", str(tmp_path / "mine.png")) == 2
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_failed_write_leaves_nothing(loads: list, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "sheet.png").mkdir()
    assert recon("--preview", "ict", str(tmp_path / "sheet.png")) == 1
    assert "cannot write" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "smpl"], "unknown face model 'smpl'; known: open"),
        (["--path", "somewhere"], "--path needs --check NAME or --preview"),
        (["--check", "ict", "--preview", "gnm", "a.png"], "name different models"),
        (["--preview", "ict", "a.jpg"], "should end in .png"),
        (["--preview", "ict", "nowhere/a.png"], "the folder of nowhere/a.png does not exist"),
    ],
)
def test_wrong_usage(loads: list, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert recon(*arguments) == 2
    assert message in capsys.readouterr().err
    assert loads == []


def test_missing_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("FACERECON_MODELS", str(tmp_path))
    assert recon("--check", "gnm") == 1
    assert f"{tmp_path / 'gnm'} does not exist; it should hold gnm_head.npz" in capsys.readouterr().err
    with pytest.raises(MissingModelFiles):
        models.load("gnm")
