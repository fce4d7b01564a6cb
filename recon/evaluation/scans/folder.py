"""The folder layout of photos with scans.

``DIR/<subject>/scan.(obj|ply|stl)``, ``DIR/<subject>/landmarks.txt`` and any number of pictures, in the subject's folder
or in subfolders, whose names are then the settings (such as cooperative, indoor, outdoor).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recon.evaluation.reports.result import Skipped
from recon.evaluation.scans.scan import SCAN_SUFFIXES, ScanError, check_unit, read_scan_landmarks

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
NO_SETTING = "photos"


@dataclasses.dataclass(frozen=True)
class Subject:
    """One person's files.

    Attributes:
        name: of the folder.
        scan: the mesh.
        landmarks: its seven points.
        photos: pairs of setting and picture, sorted.
    """

    name: str
    scan: Path
    landmarks: Path
    photos: tuple[tuple[str, Path], ...]


def find_subjects(folder: Path, unit: str | None = None) -> tuple[list[Subject], list[Skipped]]:
    """All complete subjects, and what is left out and why.

    The landmark files of all subjects are read, so that a wrong unit is found before the first photo.

    Raises:
        ScanError: no such folder, no complete subject, or scans of another unit.
    """
    if not folder.is_dir():
        raise ScanError(f"no such folder: {folder}")
    subjects: list[Subject] = []
    left: list[Skipped] = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            found = _subject(place)
        except OSError as error:
            found = f"cannot be listed ({error.strerror or error})"
        if isinstance(found, str):
            left.append(Skipped(place.name, found))
            continue
        try:
            points = read_scan_landmarks(found.landmarks)
        except ScanError as error:
            left.append(Skipped(place.name, str(error)))
            continue
        check_unit(points, unit, found.landmarks)
        subjects.append(found)
    if not subjects:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in left[:3])
        raise ScanError(
            f"{folder}: no subject is complete ({reasons or 'it has no subfolders'}). Expected DIR/<subject>/scan.obj (or "
            ".ply, .stl), DIR/<subject>/landmarks.txt and pictures there or in DIR/<subject>/<setting>/"
        )
    return subjects, left


def _subject(place: Path) -> Subject | str:
    scans = [place / f"scan{suffix}" for suffix in SCAN_SUFFIXES if (place / f"scan{suffix}").is_file()]
    if not scans:
        return f"no scan file (scan{', scan'.join(SCAN_SUFFIXES)})"
    if len(scans) > 1:
        return f"several scan files: {', '.join(path.name for path in scans)}; keep one"
    landmarks = place / "landmarks.txt"
    if not landmarks.is_file():
        return "no landmarks.txt"
    photos = [(NO_SETTING, path) for path in _pictures(place)]
    for sub in sorted(p for p in place.iterdir() if p.is_dir()):
        photos += [(sub.name, path) for path in _pictures(sub)]
    if not photos:
        return "no photos (.jpg, .png) in its folder or subfolders"
    return Subject(place.name, scans[0], landmarks, tuple(photos))


def _pictures(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())
