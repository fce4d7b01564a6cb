"""Commands of an extra that is not installed name the pip command, before any work."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from recon.commands import export_onnx

_WITHOUT = """
import runpy, sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
sys.argv = ["train.py", "fit"]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.mark.parametrize("package", ["lightning", "jsonargparse"])
def test_training_without_its_extra(package: str, request: pytest.FixtureRequest) -> None:
    command = [sys.executable, "-c", _WITHOUT, package]
    done = subprocess.run(command, cwd=request.config.rootpath, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(f"train.py: the package '{package}' is not installed: pip install 'facerecon[train]'")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_export_without_its_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    parser = argparse.ArgumentParser()
    export_onnx.add_parser(parser.add_subparsers())
    assert export_onnx.run(parser.parse_args(["export-onnx", str(tmp_path / "net.onnx")])) == 1
    said = capsys.readouterr().err
    assert f"the package '{package}' is not installed: pip install 'facerecon[onnx]'" in said
    assert list(tmp_path.iterdir()) == [], "said before the work, not after"
