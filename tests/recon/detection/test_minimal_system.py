"""On a system without the libraries that OpenCV links, as containers are."""

from __future__ import annotations

import subprocess
import sys

import pytest

_DETECT = """
import sys

class WithoutGl:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

sys.meta_path.insert(0, WithoutGl())
from recon.detection.face import DetectorUnavailable
from recon.detection.mediapipe_graphs import detection_graph
try:
    detection_graph("short", 0.5)
except DetectorUnavailable as error:
    print(error)
"""


def test_missing_gl_names_the_package(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DETECT],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mediapipe cannot be imported: OpenCV needs the system library libGL.so.1")
    assert "apt-get install libgl1 libglib2.0-0" in done.stdout and len(done.stdout.splitlines()) == 1
