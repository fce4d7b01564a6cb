"""``recon track``, killed by ``kill -9`` while it sees, fits and lights, ends with the numbers of a run that nobody disturbed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILES = ("weights.csv", "track.json", "transforms.json", "head.glb")
MOMENTS = ("frames.bin", "errors.bin", "light.bin")
"""Files of the work folder that grow while faces are followed, frames fitted and lights found."""


def _bytes_of(folder: Path, name: str) -> int:
    try:
        return max((path.stat().st_size for path in folder.rglob(name)), default=0)
    except FileNotFoundError:  # the run moved it while it was looked for
        return 0


@pytest.mark.slow
def test_a_track_survives_kill_nine(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recon.cli", "track", str(clip), "--quality", "fast", "--texture-size", "64", "-o"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for moment in MOMENTS:
        process = subprocess.Popen([*command, str(killed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 300.0
        while not _bytes_of(killed, moment) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"the run ended before it could be killed at {moment}"
        assert not list(killed.glob("*/track.json"))
    for folder in (killed, whole):
        subprocess.run([*command, str(folder)], check=True, timeout=300, capture_output=True)
    for name in FILES:
        first, second = (next(folder.glob(f"*/{name}")).read_bytes() for folder in (killed, whole))
        assert first == second, name
