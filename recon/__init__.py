"""Monocular 3D face reconstruction.

A photo goes through ``detection`` (boxes, landmarks; ``detection.align``: the crop), ``inference`` (a network's answer, an
initial estimate), ``fitting`` (Gauss-Newton analysis by synthesis), ``texturing``, :class:`Reconstruction` and ``export``.

``from recon import Reconstructor`` is the usual door; ``detect_landmarks`` gives the points of faces alone, ``estimate_poses`` how heads are turned and
``estimate_depth`` their depth; ``Tracker`` follows heads through videos; ``speak`` lets a head speak, ``dub`` a
person in a video. Names are imported when they are first asked for, so that ``import recon`` takes no time.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.detection.face import NoFaceError
    from recon.dubbing.dub import dub
    from recon.dubbing.editor import FaceEditor
    from recon.export.landmarks_json import read_landmarks
    from recon.inference.depth import estimate_depth
    from recon.inference.estimate_poses import estimate_poses
    from recon.inference.landmark_detection import detect_landmarks
    from recon.reconstruction import Reconstruction
    from recon.reconstructor import Reconstructor
    from recon.speech.animator import SpeechAnimator
    from recon.speech.speak import speak
    from recon.tracking.tracker import Tracker

    __version__: str

# Waiting OpenMP threads spin by default: beside another busy process, steps of microseconds then take milliseconds. Read by
# the OpenMP library when torch is first imported, so it has no effect on a program that imports torch before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = [
    "FaceEditor",
    "NoFaceError",
    "Reconstruction",
    "Reconstructor",
    "SpeechAnimator",
    "Tracker",
    "__version__",
    "detect_landmarks",
    "dub",
    "estimate_depth",
    "estimate_poses",
    "read_landmarks",
    "speak",
]

_PLACES = {
    "FaceEditor": "recon.dubbing.editor",
    "dub": "recon.dubbing.dub",
    "NoFaceError": "recon.detection.face",
    "Reconstruction": "recon.reconstruction",
    "Reconstructor": "recon.reconstructor",
    "SpeechAnimator": "recon.speech.animator",
    "speak": "recon.speech.speak",
    "Tracker": "recon.tracking.tracker",
    "estimate_poses": "recon.inference.estimate_poses",
    "detect_landmarks": "recon.inference.landmark_detection",
    "estimate_depth": "recon.inference.depth",
    "read_landmarks": "recon.export.landmarks_json",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from recon.io.fingerprint import package_version

        return package_version()
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'recon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
