"""How many faces detectors find, and how many things they take for one.

Photos of faces: with points68.csv (file, x0, y0, ..., x67, y67 in px) a face counts as found if its five points lie around the
labels' middle; without, if there is any find. Every find in photos without faces is false. Times are of photos with faces.

python benchmarks/detection.py --faces FOLDER --faces FOLDER --empty FOLDER --detectors open mediapipe --list
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import numpy as np
from _report import print_header, print_table

from recon.detection import Detector, Face, detect, open_detector
from recon.io.image import ImageError, read_image

_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPEG")


def labels_of(folder: Path) -> dict[str, np.ndarray]:
    """Labelled points ``(68, 2)`` by the name of the photo."""
    file = folder / "points68.csv"
    if not file.is_file():
        return {}
    with open(file, encoding="utf-8") as opened:
        return {name: np.array(values, dtype=float).reshape(68, 2) for name, *values in list(csv.reader(opened))[1:]}


def is_face(face: Face, labels: np.ndarray) -> bool:
    """Whether a find shows the labelled face."""
    size_px = float(np.sqrt(np.prod(labels.max(axis=0) - labels.min(axis=0))))
    return float(np.linalg.norm(face.points5.mean(axis=0) - labels[17:].mean(axis=0))) < 0.3 * size_px


def measured(detector: Detector, folder: Path, empty: bool) -> tuple[list[str], list[str], list[float]]:
    """Photos whose face was missed, false finds as text, and seconds a photo."""
    missed, false, seconds = [], [], []
    labels = labels_of(folder)
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES):
        try:
            pixels = read_image(path).pixels
        except ImageError:
            continue
        begin = time.perf_counter()
        found = detect(pixels, detector)
        seconds.append(time.perf_counter() - begin)
        if empty:
            false += [f"{path.name} {face.box.round().astype(int).tolist()} {face.score:.2f}" for face in found]
        elif not any(is_face(face, labels[path.name]) if path.name in labels else True for face in found):
            missed.append(path.name)
    return missed, false, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--empty", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--detectors", nargs="+", default=["open", "mediapipe"])
    parser.add_argument("--list", action="store_true", help="name what was missed and what was false")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    for empty, folders in ((False, options.faces), (True, options.empty)):
        for folder in folders:
            rows = []
            for name in options.detectors:
                with open_detector(name) as detector:
                    missed, false, seconds = measured(detector, folder, empty)
                wrong = false if empty else missed
                rows.append((name, str(len(wrong)), f"{1e3 * statistics.median(seconds):.0f}"))
                if options.list:
                    print(f"{name}: {', '.join(wrong) or 'none'}")
            what = "false finds" if empty else "missed"
            print_table(
                f"{folder.name}: {len(seconds)} photos {'without faces' if empty else 'of faces'}",
                ["", what, "ms"],
                rows,
            )


if __name__ == "__main__":
    main()
