"""The script for machines with a GPU, tried on the CPU at tiny sizes: every part of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "gpu_session.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=ROOT)


@pytest.mark.slow
def test_all_parts_run_on_a_cpu(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="the extra train is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    done = _run("-o", str(tmp_path), "--dry-run")
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["parity", "step", "stream", "training"]
    for name, told in report.items():
        assert told["exit_code"] == 0, (name, (tmp_path / f"{name}.log").read_text()[-2000:])
    assert done.returncode == 0 and "7/" in (tmp_path / "parity.log").read_text()
    assert list((tmp_path / "training").rglob("metrics.csv")) or list((tmp_path / "training").rglob("events*"))


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = _run("-o", str(tmp_path / "out"))
    assert done.returncode == 1 and "no CUDA device; --dry-run" in done.stderr
    assert not (tmp_path / "out").exists()
