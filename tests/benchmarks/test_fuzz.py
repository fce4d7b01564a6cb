"""A slice of the fuzzing of every kind of file that is read."""

import subprocess
import sys
from pathlib import Path

import pytest

_FUZZ = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
def test_damaged_files_of_every_kind_are_read_or_refused_by_name():
    done = subprocess.run(
        [sys.executable, _FUZZ, "--inputs", "300", "--seed", "1"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 damaged files" in done.stdout
