"""Are the stated errors of the landmark network true? Pictures whose 478 points are known exactly, drawn or path-traced.

    recon synthesize -o traced --engine cycles --count 60 --size 320 --seed 4711 --set framing=free
    python benchmarks/landmark_sigma.py --data traced [-o sigma.png]

Errors are of x and y, in shares of the root of the area of the points' box. Of a normal distribution 68 % of the coordinates lie within one
stated sigma and 95 % within two. The lower table has the coordinates in six parts by what is stated, each with as many; with ``-o`` it is a
plot, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import print_header, print_table

from recon.datasets import FolderReader
from recon.detection import detect, open_detector
from recon.io.files import write_file

PARTS = 6


def errors_of(folder: Path) -> tuple[np.ndarray, np.ndarray, int, int]:
    """``(N, 478, 2)`` errors and ``(N, 478)`` stated deviations in shares of the face's size; pictures, and those without a face."""
    errors, sigmas, missed = [], [], 0
    reader = FolderReader(folder)
    with open_detector("open") as detector:
        for record in reader:
            truth = record.landmarks478_px
            assert truth is not None, "of the layout folder"
            middle = truth.mean(axis=0)
            found = detect(record.image, detector)
            near = min(found, key=lambda face: float(np.linalg.norm(face.points5.mean(axis=0) - middle)), default=None)
            size = float(np.sqrt(np.prod(np.ptp(truth, axis=0))))
            if near is None or near.dense is None or np.linalg.norm(near.points5.mean(axis=0) - middle) > 0.5 * size:
                missed += 1
                continue
            dense = near.dense.subset("478")
            errors.append((dense.points_px[:, :2] - truth) / size)
            sigmas.append(dense.sigma_px / size)
    return np.array(errors), np.array(sigmas), len(reader), missed


def parts_by_sigma(errors: np.ndarray, sigma: np.ndarray) -> list[tuple[float, float, float]]:
    """Stated deviation, true root mean square and share within one sigma, of equal parts in the order of what is stated."""
    flat, stated = errors.reshape(-1, 2), sigma.ravel()
    rows = []
    for part in np.array_split(np.argsort(stated), PARTS):
        told = float(np.sqrt((stated[part] ** 2).mean()))
        within = float((np.abs(flat[part]) < stated[part, None]).mean())
        rows.append((told, float(np.sqrt((flat[part] ** 2).mean())), within))
    return rows


def plot(rows: list[tuple[float, float, float]]) -> bytes:
    """True over stated errors."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    told, true = 100.0 * np.array([row[0] for row in rows]), 100.0 * np.array([row[1] for row in rows])
    limit = 1.1 * float(max(told.max(), true.max()))
    axes.plot((0.0, limit), (0.0, limit), color="0.7", linewidth=1.0)
    axes.plot(told, true, marker="o")
    axes.set_xlabel("stated, % of the face's size")
    axes.set_ylabel("true root mean square, %")
    axes.set_xlim(0.0, limit)
    axes.set_ylim(0.0, limit)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="of recon synthesize, layout folder")
    parser.add_argument("-o", "--out", type=Path, help="picture of stated and true errors")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print_header(options.threads)
    errors, sigma, count, missed = errors_of(options.data)
    scaled = np.abs(errors) / sigma[..., None]
    by_face = np.sqrt((errors**2).mean(axis=(1, 2)) / (sigma**2).mean(axis=1))
    print_table(
        f"{count} pictures, {missed} without the face",
        ("within 1 sigma", "within 2", "mean distance, %", "median sigma, %", "true over stated, faces' median"),
        [
            (
                f"{(scaled < 1.0).mean():.3f}",
                f"{(scaled < 2.0).mean():.3f}",
                f"{100.0 * np.linalg.norm(errors, axis=2).mean():.2f}",
                f"{100.0 * np.median(sigma):.2f}",
                f"{np.median(by_face):.2f}",
            )
        ],
    )
    rows = parts_by_sigma(errors, sigma)
    cells = [(f"{100.0 * told:.2f}", f"{100.0 * true:.2f}", f"{within:.2f}") for told, true, within in rows]
    print_table("by stated sigma, % of the face's size", ("stated", "true", "within 1 sigma"), cells)
    if options.out is not None:
        write_file(options.out, plot(rows), overwrite=True)


if __name__ == "__main__":
    main()
