"""Detectors' points on photos with 68 labelled points: one photo a person, the people split in two halves.

The folder holds photos named PERSON_NUMBER.jpg and points68.csv (file, x0, y0, ..., x67, y67 in px). Variants are chosen by one
half of the people (choose) and stated on the other (state). Errors are percent of the root of the area of the labels' box
(inner: without the jaw). "offsets off" takes each point's mean offset over the photos away first, which is a matter of how a
point is defined; "one sigma" is the share of x and y coordinates of inner points within the detector's own sigma (0.68 ideal).

python benchmarks/landmarks.py --data FOLDER --half choose --detectors open mediapipe
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import numpy as np
from _report import print_header, print_table

from bfm.mediapipe_table import MEDIAPIPE_68
from recon.detection import Face, detect, open_detector
from recon.io.image import read_image

_INNER = slice(17, 68)


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo with its labels ``(68, 2)``."""

    path: Path
    labels: np.ndarray

    @property
    def size_px(self) -> float:
        return float(np.sqrt(np.prod(self.labels.max(axis=0) - self.labels.min(axis=0))))

    @property
    def turn(self) -> float:
        """Where the nose tip lies between the outer corners of the eyes, 0 in the middle: grows with yaw."""
        left, right, nose = self.labels[36], self.labels[45], self.labels[30]
        across = right - left
        return float(2.0 * ((nose - left) @ across) / (across @ across) - 1.0)


def photos_of(folder: Path, half: str) -> list[Photo]:
    """The first photo of each person of a half."""
    with open(folder / "points68.csv", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    people = sorted({row[0].split("_")[0] for row in rows})
    chosen = set(people[::2] if half == "choose" else people[1::2])
    first: dict[str, Photo] = {}
    for name, *values in rows:
        person = name.split("_")[0]
        if person in chosen and person not in first:
            first[person] = Photo(folder / name, np.array(values, dtype=float).reshape(68, 2))
    return list(first.values())


def points68(face: Face) -> np.ndarray | None:
    if face.landmarks68 is not None:
        return np.asarray(face.landmarks68)
    return None if face.landmarks478 is None else face.landmarks478[list(MEDIAPIPE_68), :2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=("choose", "state"), default="choose")
    parser.add_argument("--detectors", nargs="+", default=["open", "mediapipe"])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    photos = photos_of(options.data, options.half)
    rows = []
    for name in options.detectors:
        errors, turns, within, missed, seconds = [], [], [], 0, 0.0
        with open_detector(name) as detector:
            for photo in photos:
                pixels = read_image(photo.path).pixels
                begin = time.perf_counter()
                found = detect(pixels, detector)
                seconds += time.perf_counter() - begin
                middle = photo.labels.mean(axis=0)
                near = min(found, key=lambda f: float(np.linalg.norm(f.points5.mean(axis=0) - middle)), default=None)
                points = None if near is None else points68(near)
                if near is None or points is None:
                    missed += 1
                    continue
                difference = points - photo.labels
                errors.append(100.0 * difference / photo.size_px)
                turns.append(abs(photo.turn))
                if near.dense is not None:
                    sigma = near.dense.subset("68").sigma_px[_INNER, None]
                    within.append(float((np.abs(difference[_INNER]) < sigma).mean()))
        error = np.array(errors)
        inner = np.linalg.norm(error[:, _INNER], axis=2).mean(axis=1)
        level = np.linalg.norm((error - error.mean(axis=0))[:, _INNER], axis=2).mean(axis=1)
        thirds = [part.mean() for part in np.array_split(inner[np.argsort(turns)], 3)]
        rows.append(
            (
                name,
                f"{inner.mean():.2f}",
                f"{np.linalg.norm(error, axis=2).mean():.2f}",
                f"{level.mean():.2f}",
                " / ".join(f"{third:.2f}" for third in thirds),
                f"{np.mean(within):.2f}" if within else "-",
                str(missed),
                f"{1e3 * seconds / len(photos):.0f}",
            )
        )
    columns = ["", "inner 51, %", "68, %", "offsets off", "by thirds of turn", "one sigma", "missed", "ms"]
    print_table(f"{len(photos)} photos, half {options.half!r}", columns, rows)


if __name__ == "__main__":
    main()
