from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bfm
from bfm import registry
from bfm.data import ModelData
from bfm.files import MODELS_VARIABLE, MissingModelFiles, ModelSource, Sizes, find_layout, models_root


def tiny(n_identity: int = 2) -> ModelData:
    return ModelData(
        name="tiny",
        licence="any use",
        source="made here",
        mean_shape=np.eye(5, 3, dtype=np.float32),
        identity_basis=np.ones((5, 3, n_identity), np.float32),
        expression_basis=np.zeros((5, 3, 1), np.float32),
        faces=np.array([[0, 1, 2], [2, 3, 4]]),
        mean_albedo=np.full((5, 3), 0.5, np.float32),
        albedo_basis=np.zeros((5, 3, 1), np.float32),
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Path | None, dict]]:
    """Two made-up models: "open" needs no files, "filed" needs one of two sets."""
    seen: list[tuple[Path | None, dict]] = []

    def load(path: Path | None, **options: Any) -> ModelData:
        seen.append((path, options))
        return tiny(options.get("n_identity", 2))

    def source(name: str, layouts: tuple, options: tuple) -> ModelSource:
        return ModelSource(name, name, "any use", f"ask for {name}", layouts, load, Sizes(5, 2, 1, 0), options)

    module = types.ModuleType("made_up")
    module.OPEN = source("open", (), ("n_identity",))  # type: ignore[attr-defined]
    module.FILED = source("filed", (("a.mat", "b.bin", "c.txt"), ("all.mat",)), ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    monkeypatch.setattr(registry, "_HOMES", {"open": ("made_up", "OPEN"), "filed": ("made_up", "FILED")})
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return seen


def test_open_needs_no_folder_and_takes_options(calls: list) -> None:
    model = bfm.load("open", n_identity=3)
    assert calls == [(None, {"n_identity": 3})]
    assert model.n_identity == 3 and model.name == "tiny"
    assert registry.model_status("open").ready


def test_default_and_given_folder(calls: list, tmp_path: Path) -> None:
    bfm.load("filed")
    bfm.load("filed", tmp_path)
    bfm.load("filed", str(tmp_path))
    assert [path for path, _ in calls] == [tmp_path / "models" / "filed", tmp_path, tmp_path]


def test_user_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    assert models_root().parts[-2:] == ("facerecon", "models")


@pytest.mark.parametrize("name", ["Open", "bfm", "", "model.npz"])
def test_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(bfm.UnknownModelError, match="known: open, ict, gnm, flame, bfm2009, bfm2017, bfm2019, 300wlp"):
        bfm.load(name)


def test_unknown_option_lists_the_known(calls: list) -> None:
    with pytest.raises(bfm.UnknownModelError, match="'open' takes no option level; it takes: n_identity"):
        bfm.load("open", level=2)
    with pytest.raises(bfm.UnknownModelError, match="'filed' takes no option n_identity; it takes: none"):
        bfm.load("filed", n_identity=2)
    assert calls == []


def test_finished_model_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read_model(path: Path) -> ModelData:
        return tiny(4 if path == tmp_path / "mine.safetensors" else 1)

    storage = types.ModuleType("bfm.storage")
    storage.read_model = read_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bfm.storage", storage)
    assert bfm.load(tmp_path / "mine.safetensors").n_identity == 4
    assert bfm.load(str(tmp_path / "mine.safetensors")).n_identity == 4
    with pytest.raises(bfm.UnknownModelError, match="neither a path nor options"):
        bfm.load(tmp_path / "mine.safetensors", levels=1)


def test_status_reports_the_layout_that_is_nearly_there(calls: list, tmp_path: Path) -> None:
    assert registry.model_status("filed", tmp_path).missing == ("all.mat",)
    (tmp_path / "b.bin").touch()
    assert registry.model_status("filed", tmp_path).missing == ("a.mat", "c.txt")
    (tmp_path / "all.mat").touch()
    assert registry.model_status("filed", tmp_path).ready
    assert registry.model_status("filed", tmp_path / "all.mat").ready


def test_layout_paths_come_in_order(calls: list, tmp_path: Path) -> None:
    source = registry.model_source("filed")
    for name in ("c.txt", "b.bin", "a.mat"):
        (tmp_path / name).touch()
    assert find_layout(source, tmp_path) == (tmp_path / "a.mat", tmp_path / "b.bin", tmp_path / "c.txt")


def test_message_for_missing_files(calls: list, tmp_path: Path) -> None:
    source = registry.model_source("filed")
    (tmp_path / "a.mat").touch()
    with pytest.raises(MissingModelFiles) as caught:
        find_layout(source, tmp_path)
    text = str(caught.value)
    assert f"'filed': {tmp_path} lacks b.bin, c.txt." in text
    assert "a.mat + b.bin + c.txt | all.mat" in text and "ask for filed" in text and MODELS_VARIABLE in text
    with pytest.raises(FileNotFoundError, match="does not exist; it should hold all.mat"):
        find_layout(source, tmp_path / "nowhere")
    with pytest.raises(MissingModelFiles, match="a.mat is a file; expected a folder with all.mat"):
        find_layout(source, tmp_path / "a.mat")


@pytest.mark.parametrize("name", [n for n in registry.MODEL_NAMES if n != "open"])
def test_every_source_is_complete(name: str) -> None:
    source = registry.model_source(name)
    assert source.name == name and source.layouts and all(source.layouts)
    assert len(source.licence) > 20 and "http" in source.how_to_get
    assert source.sizes.vertices > 5000


def test_listing_models_imports_nothing_slow() -> None:
    """``recon models`` should answer at once: torch alone takes seconds."""
    names = [n for n in registry.MODEL_NAMES if n != "open"]
    code = f"import sys, bfm.registry as r; [r.model_status(n) for n in {names}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "h5py"} & set(done.stdout.split())


def test_exports() -> None:
    for name in bfm.__all__:
        assert getattr(bfm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bfm.nonsense
