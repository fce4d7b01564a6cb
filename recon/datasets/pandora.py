"""Pandora (Borghi et al., CVPR 2017): sequences of colour and depth pictures of a driver's head.

Below the root lie ``<subject>/<base|free>_<n>_ID<subject>/`` with ``RGB/<frame>_RGB.png`` (1920 x 1080),
``DEPTH/<frame>_DEPTH.png`` (512 x 424, 16 bit, mm) and ``data.json``. Frame numbers have six digits. The JSON file is
either a list of frames with ``frame_num``, ``orientation`` (``euler`` with yaw, pitch and roll in degrees, and
``quaternion``) and ``joints``, or a mapping from the frame's digits to such a frame, as an object or as text of JSON.
Some sequences have their angles in ``data.txt`` instead: an index, the frame's digits, roll, pitch, yaw. The papers do not
describe the files; this is what public programs that read the set agree on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture, read_text
from recon.io.faults import reason
from recon.io.pictures import ImageError, read_grey16

JOINT_NAMES = (
    *("SpineBase", "SpineMid", "Neck", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft", "ShoulderRight"),
    *("ElbowRight", "WristRight", "HandRight", "SpineShoulder", "HandTipLeft", "ThumbLeft", "HandTipRight"),
    "ThumbRight",
)
"""Rows of ``labels["joints"]``; their first two columns are pixels of the depth picture."""
TEST_SUBJECTS = (10, 14, 16, 20)
"""Subjects that are tested on (Borghi et al. 2017; Pini et al. 2018, Section 4.1.1)."""
FOCAL_PX = 365.0
"""Focal length of the depth camera (Pini et al. 2018, Section 3.2)."""
_SEQUENCE = re.compile(r"(base|free)_(\d+)_ID(\d+)", re.IGNORECASE)
_PICTURE = re.compile(r"(\d{6})_RGB\.png", re.IGNORECASE)


class PandoraReader(FaceReader):
    """Colour pictures of all sequences, with the head's angles and, in ``labels``, what the depth camera saw.

    ``published_angles_deg`` are the set's own yaw, pitch and roll, whose signs differ from ours. ``labels`` holds
    ``depth_camera_mm`` ``(424, 512)``, which does not lie on the colour picture, ``joints`` ``(17, k)`` (see
    :data:`JOINT_NAMES`) and ``quaternion_wxyz``, where the files have them.

    Args:
        root: folder of the subjects.
        subjects: numbers of those to read; ``None`` reads all.
        without: of those that are left out.

    Raises:
        FileNotFoundError: no such folder, or no frames below it.
    """

    def __init__(
        self, root: str | Path, subjects: tuple[int, ...] | None = None, *, without: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self.pictures = []
        for path in sorted(self.root.rglob("*")):
            match = _SEQUENCE.fullmatch(path.parent.parent.name)
            if match and _PICTURE.fullmatch(path.name):
                number = int(match.group(3))
                if number not in without and (subjects is None or number in subjects):
                    self.pictures.append(path)
        if not self.pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures <subject>/base_1_ID<subject>/RGB/000000_RGB.png")
        self._read: tuple[Path, dict[str, dict[str, Any]] | DamagedSample] | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> FaceRecord:
        path = self.pictures[index]
        sequence = path.parent.parent
        name = f"{sequence.relative_to(self.root)}/{path.name[:6]}"
        frames = self._frames(sequence)
        if isinstance(frames, DamagedSample):
            raise DamagedSample(name, frames.reason)
        frame = frames.get(path.name[:6])
        if frame is None:
            raise DamagedSample(name, "data.json and data.txt do not mention this frame")
        image = read_picture(name, path)
        labels = _labels(name, frame)
        depth = sequence / "DEPTH" / f"{path.name[:6]}_DEPTH.png"
        if depth.exists():
            labels["depth_camera_mm"] = _read_depth(name, depth)
        match = _SEQUENCE.fullmatch(sequence.name)
        assert match is not None
        return FaceRecord(
            name=name,
            image=image,
            published_angles_deg=_angles(name, frame),
            identity_number=int(match.group(3)),
            labels=labels,
        )

    def _frames(self, sequence: Path) -> dict[str, dict[str, Any]] | DamagedSample:
        """The frames of a sequence by their six digits; those of the last one asked for are kept."""
        if self._read is None or self._read[0] != sequence:
            try:
                self._read = (sequence, _parsed(sequence))
            except DamagedSample as fault:
                self._read = (sequence, fault)
        return self._read[1]


def _parsed(sequence: Path) -> dict[str, dict[str, Any]]:
    path = sequence / "data.json"
    frames: dict[str, dict[str, Any]] = {}
    if path.exists():
        try:
            found = json.loads(read_text(sequence.name, path))
            pairs = found.items() if isinstance(found, dict) else ((f["frame_num"], f) for f in found)
            for key, frame in pairs:
                frames[f"{int(key):06d}"] = json.loads(frame) if isinstance(frame, str) else frame
        except DamagedSample:
            raise
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise DamagedSample(sequence.name, f"data.json cannot be read ({type(error).__name__}: {error})") from None
        if not all(isinstance(frame, dict) for frame in frames.values()):
            raise DamagedSample(sequence.name, "data.json holds frames that are no objects")
    text = sequence / "data.txt"
    if text.exists():
        try:
            for line in filter(str.strip, read_text(sequence.name, text).splitlines()):
                _, digits, roll, pitch, yaw = line.split()[:5]
                euler = {"roll": float(roll), "pitch": float(pitch), "yaw": float(yaw)}
                frames.setdefault(f"{int(digits):06d}", {}).setdefault("orientation", {"euler": euler})
        except DamagedSample:
            raise
        except (ValueError, ArithmeticError, AttributeError) as error:
            raise DamagedSample(sequence.name, f"data.txt cannot be read ({error})") from None
    if not frames:
        raise DamagedSample(sequence.name, "data.json is missing or empty")
    return frames


def _angles(name: str, frame: dict[str, Any]) -> tuple[float, float, float]:
    try:
        euler = frame["orientation"]["euler"]
        yaw, pitch, roll = (float(euler[key]) for key in ("yaw", "pitch", "roll"))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise DamagedSample(name, "the frame has no orientation with euler yaw, pitch and roll") from None
    if not np.isfinite([yaw, pitch, roll]).all():
        raise DamagedSample(name, f"the angles {(yaw, pitch, roll)} are not finite")
    return yaw, pitch, roll


def _labels(name: str, frame: dict[str, Any]) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    try:
        if "joints" in frame:
            labels["joints"] = np.asarray(frame["joints"], dtype=np.float64)
        if "quaternion" in frame.get("orientation", {}):
            labels["quaternion_wxyz"] = np.asarray(frame["orientation"]["quaternion"], dtype=np.float64)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise DamagedSample(name, f"joints or quaternion are no numbers ({error})") from None
    joints = labels.get("joints")
    if joints is not None and (joints.ndim != 2 or len(joints) != len(JOINT_NAMES) or joints.shape[1] < 2):
        raise DamagedSample(name, f"{len(JOINT_NAMES)} joints are expected, found an array of shape {joints.shape}")
    return labels


def _read_depth(name: str, path: Path) -> np.ndarray:
    """``(H, W)`` float32 mm of a 16-bit picture; 0 where the sensor saw nothing."""
    try:
        return read_grey16(path).astype(np.float32)
    except (OSError, ImageError) as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({reason(error)})") from None
