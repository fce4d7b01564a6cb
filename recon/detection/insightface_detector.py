"""Faces through InsightFace, when its package and networks are there. The networks are for research only."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from recon.detection.face import DetectorUnavailable, Face, roll_turn_deg
from recon.detector_names import INSIGHTFACE

_PACK = "buffalo_l"
_HOW_TO_GET = (
    f"pip install insightface onnxruntime; the networks {_PACK!r} are downloaded on first use to "
    f"~/.insightface/models/{_PACK}, or can be put there by hand (licence: research only)"
)


class InsightfaceDetector:
    """Finds faces, five points and 68 points with the ``buffalo_l`` networks. A context manager.

    Args:
        analyser: an object with InsightFace's ``FaceAnalysis.get(bgr_image)``; None makes one of its own on entering.
    """

    name = INSIGHTFACE

    def __init__(self, analyser: Any = None) -> None:
        self._given = analyser
        self._analyser: Any = None

    def __enter__(self) -> InsightfaceDetector:
        self._analyser = _open_analyser() if self._given is None else self._given
        return self

    def __exit__(self, *_: object) -> None:
        self._analyser = None

    def detect(self, image: UInt8[np.ndarray, "h w 3"], min_face_px: float) -> list[Face]:
        """Faces whose box is at least ``min_face_px`` high, the largest first; see :func:`recon.detection.detect`."""
        if self._analyser is None:
            raise RuntimeError(
                "InsightfaceDetector is used in a with statement: with InsightfaceDetector() as detector"
            )
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        for turn_deg in (0, 90, 270, 180):
            found = self._analyser.get(np.ascontiguousarray(np.rot90(bgr, -turn_deg // 90)))
            faces = [_face(item, (image.shape[0], image.shape[1]), turn_deg) for item in found]
            faces = [face for face in faces if face.box[3] - face.box[1] >= min_face_px]
            if faces:
                return sorted(faces, key=lambda face: -face.size_px)
        return []


def _open_analyser() -> Any:
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise DetectorUnavailable(
            f"the 'insightface' detector needs a package that is missing ({error}): {_HOW_TO_GET}"
        ) from error
    try:
        analyser = FaceAnalysis(name=_PACK, allowed_modules=["detection", "landmark_3d_68"])
        analyser.prepare(ctx_id=-1)
    except (OSError, RuntimeError, AssertionError) as error:
        raise DetectorUnavailable(
            f"InsightFace's networks cannot be opened ({type(error).__name__}: {error}): {_HOW_TO_GET}"
        ) from error
    return analyser


def _face(found: Any, size: tuple[int, int], turn_deg: int) -> Face:
    """InsightFace's record, whose pixel centres lie at integers, as ours."""
    box = _to_photo(np.asarray(found.bbox, dtype=np.float64).reshape(2, 2), size, turn_deg)
    points5 = _to_photo(np.asarray(found.kps, dtype=np.float64), size, turn_deg)
    points68 = getattr(found, "landmark_3d_68", None)
    if points68 is not None:
        points68 = _to_photo(np.asarray(points68, dtype=np.float64)[:, :2], size, turn_deg)
    return Face(
        box=np.concatenate([box.min(axis=0), box.max(axis=0)]),
        points5=points5,
        score=float(found.det_score),
        detector=INSIGHTFACE,
        rotation_deg=roll_turn_deg(points5),
        landmarks68=points68,
    )


def _to_photo(points: np.ndarray, size: tuple[int, int], turn_deg: int) -> np.ndarray:
    """From the photo turned clockwise, centres at integers, to the photo of ``size`` (H, W), centres at +0.5."""
    height, width = size
    x, y = points[:, 0] + 0.5, points[:, 1] + 0.5
    turned = {0: (x, y), 90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}
    return np.stack(turned[turn_deg], axis=1)
