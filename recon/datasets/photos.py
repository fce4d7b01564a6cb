"""A folder of photos, with the 478 landmarks of each kept beside them once they are found."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

import numpy as np

from bfm.mediapipe_table import MEDIAPIPE_68, N_POINTS
from bfm.open.cache import cache_folder
from recon.datasets.record import (
    DamagedSample,
    FaceReader,
    FaceRecord,
    existing_folder,
    read_bytes,
    read_npz,
    read_picture,
)
from recon.detector_names import DEFAULT_DETECTOR
from recon.io.faults import reason
from recon.io.files import write_file

logger = logging.getLogger(__name__)

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
CACHE = ".landmarks"
_MAX_PHOTO_BYTES = 300_000_000
"""Photos are held in memory while they are decoded."""


class PhotoReader(FaceReader):
    """Photos with one face each: the largest that the detector finds.

    Landmarks are looked for on first use and kept, by the content of the photo, in the folder ``.landmarks``, or in the user's
    cache if the data set cannot be written to; a photo without a face is a damaged sample.

    Args:
        root: folder of photos, with subfolders.
        detect: a function from uint8 RGB ``(H, W, 3)`` to ``(478, 2)`` points or ``None``; ``None`` opens the default detector.

    Raises:
        FileNotFoundError: no such folder, or no photos in it.
    """

    def __init__(self, root: str | Path, detect=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.root = existing_folder(root)
        self._warned = False
        self._paths = sorted(
            path
            for path in self.root.rglob("*")
            if path.suffix.lower() in _SUFFIXES and CACHE not in path.relative_to(self.root).parts
        )
        if not self._paths:
            raise FileNotFoundError(f"{self.root} holds no photos ({', '.join(sorted(_SUFFIXES))})")
        self._detect = detect

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> FaceRecord:
        path = self._paths[index]
        name = str(path.relative_to(self.root))
        data = read_bytes(name, path, _MAX_PHOTO_BYTES)
        image = read_picture(name, data)
        points = self._landmarks(name, data, image)
        return FaceRecord(name=name, image=image, landmarks478_px=points, landmarks68_px=points[list(MEDIAPIPE_68)])

    def _landmarks(self, name: str, data: bytes, image: np.ndarray) -> np.ndarray:
        # What a photo is decides, not its name or date: copies and older versions keep their dates.
        kept_as = f"{len(data)}-{hashlib.sha256(data).hexdigest()[:32]}.npz"
        points = self._kept(kept_as)
        if points is None:
            found = self._found(image)
            points = np.zeros((0, 2)) if found is None else np.asarray(found, dtype=np.float64)
            self._keep(kept_as, points)
        if points.shape != (N_POINTS, 2):
            raise DamagedSample(name, "no face with landmarks was found")
        return points

    def _places(self) -> tuple[Path, Path]:
        """Where landmarks are kept: beside the photos, or in the user's cache if nothing can be written there."""
        return self.root / CACHE, cache_folder() / "landmarks"

    def _kept(self, file_name: str) -> np.ndarray | None:
        for place in self._places():
            path = place / file_name
            if not path.is_file():
                continue
            try:
                points = read_npz(file_name, read_bytes(file_name, path))["landmarks478_px"]
            except (DamagedSample, KeyError) as error:
                logger.warning("the kept landmarks %s are damaged (%s); they are found again", path, reason(error))
                continue
            if points.dtype.kind == "f" and points.shape in ((N_POINTS, 2), (0, 2)):
                return points
        return None

    def _keep(self, file_name: str, points: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, landmarks478_px=points)
        fault: OSError | None = None
        for place in self._places():
            try:
                place.mkdir(parents=True, exist_ok=True)
                write_file(place / file_name, buffer.getvalue(), overwrite=True)
                return
            except OSError as error:
                fault = error
        if not self._warned:
            logger.warning("landmarks cannot be kept and are found again next time: %s", reason(fault or OSError()))
            self._warned = True

    def _found(self, image: np.ndarray) -> np.ndarray | None:
        if self._detect is not None:
            found: np.ndarray | None = self._detect(image)
            return found
        from recon.detection.detect import open_detector, smallest_face_px

        with open_detector(DEFAULT_DETECTOR) as detector:
            faces = detector.detect(image, smallest_face_px(image))
        marked = [face.landmarks478 for face in faces if face.landmarks478 is not None]
        return marked[0][:, :2] if marked else None
