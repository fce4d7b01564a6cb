"""A folder of photos, with the 478 landmarks of each kept beside them once they are found."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from bfm.mediapipe_table import MEDIAPIPE_68, N_POINTS
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture
from recon.io.files import write_file

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
CACHE = ".landmarks"


class PhotoReader(FaceReader):
    """Photos with one face each: the largest that the detector finds.

    Landmarks are looked for on first use and kept in the folder ``.landmarks``; a photo without a face is a damaged
    sample.

    Args:
        root: folder of photos, with subfolders.
        detect: a function from uint8 RGB ``(H, W, 3)`` to ``(478, 2)`` points or ``None``; ``None`` opens MediaPipe.

    Raises:
        FileNotFoundError: no such folder, or no photos in it.
    """

    def __init__(self, root: str | Path, detect=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.root = existing_folder(root)
        self._paths = sorted(
            path for path in self.root.rglob("*") if path.suffix.lower() in _SUFFIXES and CACHE not in path.parts
        )
        if not self._paths:
            raise FileNotFoundError(f"{self.root} holds no photos ({', '.join(sorted(_SUFFIXES))})")
        self._detect = detect

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> FaceRecord:
        path = self._paths[index]
        name = str(path.relative_to(self.root))
        image = read_picture(name, path)
        points = self._landmarks(name, path, image)
        return FaceRecord(name=name, image=image, landmarks478_px=points, landmarks68_px=points[list(MEDIAPIPE_68)])

    def _landmarks(self, name: str, path: Path, image: np.ndarray) -> np.ndarray:
        kept = self.root / CACHE / f"{path.relative_to(self.root)}.npz"
        if kept.exists() and kept.stat().st_mtime >= path.stat().st_mtime:
            try:
                with np.load(kept, allow_pickle=False) as archive:
                    points = archive["landmarks478_px"]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                raise DamagedSample(name, f"the kept landmarks {kept} cannot be read ({error}): delete them") from None
        else:
            found = self._found(image)
            points = np.zeros((0, 2)) if found is None else np.asarray(found, dtype=np.float64)
            buffer = io.BytesIO()
            np.savez(buffer, landmarks478_px=points)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_file(kept, buffer.getvalue(), overwrite=True)
        if points.shape != (N_POINTS, 2):
            raise DamagedSample(name, "no face with landmarks was found")
        return points

    def _found(self, image: np.ndarray) -> np.ndarray | None:
        if self._detect is not None:
            found: np.ndarray | None = self._detect(image)
            return found
        from recon.faces.detect import open_detector

        with open_detector("mediapipe") as detector:
            faces = detector.detect(image, max(20.0, max(image.shape[:2]) / 64.0))
        marked = [face.landmarks478 for face in faces if face.landmarks478 is not None]
        return marked[0][:, :2] if marked else None
