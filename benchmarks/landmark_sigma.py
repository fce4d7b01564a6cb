"""Are the stated errors of the landmark network true? Pictures whose 478 points are known exactly, drawn or path-traced.

    recon synthesize -o traced --engine cycles --count 60 --size 320 --seed 4711 --set framing=free
    python benchmarks/landmark_sigma.py --data traced [-o sigma.png]

Errors are of x and y, in shares of the root of the area of the points' box. Of a normal distribution 68 % of the coordinates lie within one
stated sigma and 95 % within two. The second table has the coordinates in six parts by what is stated, each with as many; with ``-o`` it is a
plot, too. The third has the points that are seen and those that are hidden, by how far the head is turned.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from _report import print_header, print_table

from recon.datasets import FolderReader
from recon.detection import detect, open_detector
from recon.io.files import write_file

PARTS = 6
TURNS_DEG = ((0.0, 20.0), (20.0, 40.0), (40.0, 60.0), (60.0, 180.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What was found on M of the pictures.

    Attributes:
        errors: ``(M, 478, 2)`` in shares of the face's size.
        sigmas: ``(M, 478)`` stated, in the same.
        seen: ``(M, 478)`` by the truth.
        turned_deg: ``(M,)`` angle between the head's front and the way to the camera.
        count, missed: pictures, and those without a face.
    """

    errors: np.ndarray
    sigmas: np.ndarray
    seen: np.ndarray
    turned_deg: np.ndarray
    count: int
    missed: int


def turned_deg(rotation: np.ndarray, translation_mm: np.ndarray) -> float:
    """Angle between a head's front and the ray from it to the camera."""
    ray = -translation_mm / np.linalg.norm(translation_mm)
    return float(np.degrees(np.arccos(np.clip(rotation[:, 2] @ ray, -1.0, 1.0))))


def measured(folder: Path) -> Measured:
    """The errors of the detector on a folder of pictures."""
    errors, sigmas, seen, turned, missed = [], [], [], [], 0
    reader = FolderReader(folder)
    with open_detector("open") as detector:
        for record in reader:
            truth = record.landmarks478_px
            assert truth is not None and record.rotation is not None, "of the layout folder"
            assert record.translation_mm is not None, "of the layout folder"
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
            seen.append(record.labels["landmarks478_visible"])
            turned.append(turned_deg(record.rotation, record.translation_mm))
    return Measured(np.array(errors), np.array(sigmas), np.array(seen), np.array(turned), len(reader), missed)


def parts_by_turn(found: Measured) -> list[tuple[str, ...]]:
    """Of seen and hidden points, by how far heads are turned."""
    rows = []
    for low, high in TURNS_DEG:
        heads = (found.turned_deg >= low) & (found.turned_deg < high)
        cells = [f"{low:.0f} to {high:.0f}", str(int(heads.sum()))]
        for chosen in (found.seen & heads[:, None], ~found.seen & heads[:, None]):
            if not chosen.any():
                cells += ["-"] * 4
                continue
            errors, sigmas = found.errors[chosen], found.sigmas[chosen]
            cells += [
                f"{100.0 * np.median(np.linalg.norm(errors, axis=1)):.2f}",
                f"{100.0 * np.sqrt((errors**2).mean()):.2f}",
                f"{100.0 * np.sqrt((sigmas**2).mean()):.2f}",
                f"{(np.abs(errors) < sigmas[:, None]).mean():.2f}",
            ]
        rows.append(tuple(cells))
    return rows


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
    found = measured(options.data)
    errors, sigma = found.errors, found.sigmas
    scaled = np.abs(errors) / sigma[..., None]
    by_face = np.sqrt((errors**2).mean(axis=(1, 2)) / (sigma**2).mean(axis=1))
    print_table(
        f"{found.count} pictures, {found.missed} without the face",
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
    each = ("median distance, %", "x and y, rms, %", "stated", "within 1 sigma")
    heads = ["degrees from the front", "heads", *(f"{kind}: {name}" for kind in ("seen", "hidden") for name in each)]
    print_table("by the turn of the head", heads, parts_by_turn(found))
    if options.out is not None:
        write_file(options.out, plot(rows), overwrite=True)


if __name__ == "__main__":
    main()
