"""Failed imports name the command that mends them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recon.io import extras
from recon.io.extras import pip_hint


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("lightning", "train"),
        ("av.video", "video"),
        ("lightning.pytorch.cli", "train"),
        ("onnx", "onnx"),
        ("bpy", "blender"),
    ],
)
def test_missing_packages_name_their_extra(monkeypatch: pytest.MonkeyPatch, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        __import__(module)
    text = pip_hint(caught.value)
    assert text is not None and f"pip install 'facerecon[{extra}]'" in text and module.partition(".")[0] in text


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0"])
def test_missing_system_libraries_name_their_packages(library: str) -> None:
    text = pip_hint(ImportError(f"{library}: cannot open shared object file: No such file or directory"))
    assert text is not None and library in text and "apt-get install libgl1 libglib2.0-0" in text
    assert "opencv-contrib-python-headless" in text


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'recon.nowhere'", name="recon.nowhere"),
        ImportError("cannot import name 'Trainer' from 'lightning'", name="lightning"),
        ImportError("something else"),
    ],
)
def test_other_faults_have_no_hint(error: ImportError) -> None:
    assert pip_hint(error) is None


def test_the_table_agrees_with_the_project_file(request: pytest.FixtureRequest) -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads(Path(request.config.rootpath, "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for package, extra in extras._EXTRAS.items():
        named = {"pxr": "usd_core"}.get(package, package)
        assert any(line.replace("-", "_").startswith(named) for line in project["optional-dependencies"][extra]), (
            package,
            extra,
        )
