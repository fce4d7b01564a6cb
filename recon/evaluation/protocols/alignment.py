"""Protocol ``alignment``: the 68 landmarks of AFLW2000-3D, in 2D and 3D, by yaw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon.datasets.pose_conventions import matrix_to_angles
from recon.evaluation.aflw21 import aflw21_px
from recon.evaluation.aflw2000 import Aflw2000Label, photos_and_labels, read_label
from recon.evaluation.dense import NOTHING_DENSE, DensePoints, dense_file, read_dense
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.nme import (
    YAW_BINS_DEG,
    balanced_means,
    box_size,
    normalised_error,
    without_depth_offset,
    yaw_bin,
)
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.evaluation.metrics.statistics import cumulative_curve
from recon.evaluation.outcome import Outcome, failed, left_out, pack, unpack
from recon.evaluation.predict import Predictor
from recon.evaluation.reports import published
from recon.evaluation.reports.figures import curves_png, landmark_tile, sheet_png
from recon.evaluation.reports.report import csv_bytes
from recon.evaluation.reports.result import Cell, Evaluation, Figure, Metric, Sample, Skipped, Table
from recon.evaluation.run import Run, run_facts
from recon.io.image import ImageError, read_image
from recon.io.names import printable
from recon.reconstruction import Reconstruction

METRICS = (
    Metric("nme2d", "NME, 68 points, 2D", "%"),
    Metric("nme3d", "NME, 68 points, 3D", "%"),
    Metric("nme2d_inner", "NME, 51 inner points, 2D", "%"),
    Metric("nme2d_jaw", "NME, 17 jaw points, 2D", "%"),
    Metric("nme21", "NME, AFLW's 21 points, the visible ones", "%"),
    Metric("pose_mae", "pose, mean absolute error", "degrees"),
    Metric("geodesic", "pose, geodesic error", "degrees"),
)
DENSE = Metric("nme_dense", "NME, dense points, 2D", "%")
_LIMIT_PERCENT = 10.0
_N_TILES = 24
_N_SUBSETS = 100
_AXES = ("yaw", "pitch", "roll")
_LEAST_SPREAD_DEG = 5.0
"""Of true angles, below which a line through them tells nothing."""


def evaluate_alignment(
    folder: Path,
    predictor: Predictor,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure a predictor on a folder in the layout of AFLW2000-3D.

    Args:
        folder: pictures with ``.mat`` files.
        predictor: makes the heads; it is given the box of the true landmarks to choose among several faces.
        seed: of the balanced subsets.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        LabelError: nothing to measure in the folder, or dense points that the face model does not have.
    """
    photos, alone = photos_and_labels(folder)
    files = {
        path: tuple(p for p in (path, path.with_suffix(".mat"), dense_file(path)) if p is not None) for path in photos
    }
    dense = DensePoints(predictor.model)
    dense.check(photos)
    left = [Skipped(text.split()[1], text) for text in alone]
    run = Run(run_facts("alignment", predictor.facts()), len(photos), journal, left)
    dense_sets: set[str] = set()
    failed_yaws: list[float] = []
    worst: list[tuple[float, Path, Outcome]] = []
    for path in photos:
        progress(printable(path.name))
        found = run.outcome(path.name, files[path], lambda path=path: _outcome(path, predictor, dense))  # type: ignore[misc]
        if found.failure is not None and "yaw" in found.kept:
            failed_yaws.append(found.kept["yaw"])
        if found.sample is None:
            continue
        dense_sets |= set(found.kept["dense"])
        # Only those that the sheet will show: the worst.
        worst = sorted([*worst, (found.sample.values["nme2d"], path, found)], key=lambda one: -one[0])[:_N_TILES]
    samples, failures = run.samples, run.failures
    figures = []
    if samples:
        figures.append(_curves(samples, failed_yaws))
        tiles = [_tile(path, found) for _, path, found in worst]
        figures.append(Figure("landmarks", "Landmarks, the worst first: true white, found green", sheet_png(tiles, 4)))
    used = [p for photo in photos for p in (photo, photo.with_suffix(".mat"))]
    return Evaluation(
        protocol="alignment",
        title="Alignment on AFLW2000-3D",
        provenance=run.provenance(predictor.method, predictor.weights, folder, used),
        metrics=(*METRICS, DENSE) if dense_sets else METRICS,
        samples=tuple(samples),
        failures=tuple(failures),
        dropped=tuple(run.dropped),
        tables=(
            _bins(samples, failed_yaws, seed),
            _angles(samples),
            _table1(samples, seed),
            _dense_landmarks_table(samples),
        ),
        figures=tuple(figures),
        files={"curve.csv": _curve_csv(samples, len(failures))},
        notes=(
            "NME: mean distance over sqrt(w h) of the box of the 68 true points (Eq. 15). In 3D the mean depth is removed "
            "first, since the annotation leaves it open; z of the prediction is scaled to pixels at the head's distance.",
            "AFLW's 21 points are the file's own (pt2d), as far as they are seen; they too are divided by the box of the 68 points.",
            "Jaw points are fixed points of the head, as in the 3D annotation, not of the silhouette.",
            "Balanced: the mean over draws of equally many samples from each yaw bin.",
            _dense_note(dense_sets, samples),
            *([_few(len(samples))] if len(samples) < 200 else []),
        ),
    )


def points_px(head: Reconstruction) -> Float[np.ndarray, "68 3"]:
    """The 68 points: x and y in pixels, z towards the viewer at the same scale, from an arbitrary origin."""
    import torch

    points_cam = head.camera.to_camera(torch.as_tensor(head.landmarks_mm("68"))[None])
    pixels = head.camera.to_pixels(points_cam)[0].double().numpy()
    depth_mm = -points_cam[0, :, 2].double().numpy()
    px_per_mm = float(head.camera.px_per_mm(torch.full((1, 1), depth_mm.mean(), dtype=torch.float64)))
    return np.concatenate([pixels, -px_per_mm * depth_mm[:, None]], axis=1)


def _outcome(path: Path, predictor: Predictor, dense: DensePoints) -> Outcome:
    """Read and measure one picture."""
    try:
        label, photo, true_dense = read_label(path), read_image(path), read_dense(path)
    # Whatever a damaged file makes its reader raise, it is one picture.
    except Exception as error:
        return left_out(path.name, error)
    yaw_deg = float(label.angles_deg[0])
    try:
        head = predictor.predict(photo, label.box)
        points = points_px(head)
        sample = _measure(label, head, points)
        values = dict(sample.values)
        if true_dense is not None:
            values[DENSE.key] = dense.error(head, *true_dense, box_size(label.landmarks))
    # Likewise for what a predictor raises; the yaw is known nevertheless.
    except Exception as error:
        return failed(path.name, error, yaw=yaw_deg)
    found = Sample(sample.name, sample.group, values, sample.labels)
    kept = {"found": pack(points[:, :2]), "true": pack(label.landmarks[:, :2])}
    return Outcome(found, kept={**kept, "dense": [] if true_dense is None else [true_dense[0]]})


def _tile(path: Path, outcome: Outcome) -> UInt8[np.ndarray, "a b 3"]:
    assert outcome.sample is not None
    try:
        pixels = read_image(path).pixels
    # The picture was measured; that it is gone by now must not cost the report.
    except (ImageError, OSError):
        pixels = np.full((64, 64, 3), 128, np.uint8)
    found, true = unpack(outcome.kept["found"]), unpack(outcome.kept["true"])
    return landmark_tile(pixels, found, true, f"{path.stem}  {outcome.sample.values['nme2d']:.2f} %")


def _measure(label: Aflw2000Label, head: Reconstruction, points: Float[np.ndarray, "68 3"]) -> Sample:
    true = label.landmarks
    rotation = head.camera.rotation[0].double().numpy()
    angles = matrix_to_angles(rotation, "300wlp")
    number = yaw_bin(float(label.angles_deg[0]))
    return Sample(
        name=label.photo.name,
        group=label.photo.name,
        values={
            "nme2d": normalised_error(points[:, :2], true[:, :2]),
            "nme3d": normalised_error(without_depth_offset(points, true), true),
            "nme2d_inner": normalised_error(points[17:, :2], true[17:, :2], size=box_size(true)),
            "nme2d_jaw": normalised_error(points[:17, :2], true[:17, :2], size=box_size(true)),
            "nme21": _error21(label, head),
            "pose_mae": float(angle_differences(angles, label.angles_deg).mean()),
            "geodesic": geodesic_deg(rotation, label.rotation),
            **{f"{axis}_true": float(angle) for axis, angle in zip(_AXES, label.angles_deg, strict=True)},
            **{f"{axis}_found": float(angle) for axis, angle in zip(_AXES, angles, strict=True)},
        },
        labels={"yaw": "beyond 90" if number is None else _bin_name(number)},
    )


def _error21(label: Aflw2000Label, head: Reconstruction) -> float:
    """NME of AFLW's own points that are seen, by the box of the 68; nan if there are none."""
    if label.points21 is None:
        return math.nan
    found = aflw21_px(head)
    seen = np.isfinite(label.points21).all(axis=1) & np.isfinite(found).all(axis=1)
    if not seen.any():
        return math.nan
    return normalised_error(found, label.points21, seen, box_size(label.landmarks))


def _bin_name(number: int) -> str:
    low, high = YAW_BINS_DEG[number]
    return f"[{low:.0f}, {high:.0f}{']' if number == len(YAW_BINS_DEG) - 1 else ')'}"


def _bins(samples: Sequence[Sample], failed_yaws: Sequence[float], seed: int) -> Table:
    bins = [yaw_bin(s.values["yaw_true"]) for s in samples]
    failed = [yaw_bin(yaw) for yaw in failed_yaws]
    rows: list[tuple[Cell, ...]] = []
    keys = ("nme2d", "nme3d", "nme2d_inner", "nme21")
    for number in range(len(YAW_BINS_DEG)):
        taken = [s for s, b in zip(samples, bins, strict=True) if b == number]
        means = [_mean(taken, k) for k in keys]
        rows.append((_bin_name(number), *means, len(taken), failed.count(number)))
    means = [_mean(samples, k) for k in keys]
    rows.append(("all", *means, len(samples), len(failed_yaws)))
    balanced = [balanced_means([s.values[k] for s in samples], bins, _N_SUBSETS, seed) for k in keys]
    rows.append(("balanced", *(mean for mean, _, _ in balanced), 3 * balanced[0][2], None))
    rows.append(("balanced, std over draws", *(spread for _, spread, _ in balanced), None, None))
    return Table(
        "NME by absolute yaw, %",
        ("yaw, degrees", "68 points 2D", "68 points 3D", "51 inner points 2D", "AFLW 21 visible", "samples", "failed"),
        tuple(rows),
        f"Balanced: {_N_SUBSETS} draws without replacement, seed {seed}.",
    )


def _angles(samples: Sequence[Sample]) -> Table:
    true, found = (
        np.array([[s.values[f"{axis}_{of}"] for axis in _AXES] for s in samples]) for of in ("true", "found")
    )
    rows: list[tuple[Cell, ...]] = []
    for number, axis in enumerate(_AXES if samples else ()):
        error = float(angle_differences(found, true)[:, number].mean())
        spread_deg = float(np.ptp(true[:, number]))
        slope = float(np.polyfit(true[:, number], found[:, number], 1)[0]) if spread_deg > _LEAST_SPREAD_DEG else None
        rows.append((axis, error, slope))
    return Table(
        "Angles",
        ("", "mean absolute error, degrees", "slope of found against true"),
        tuple(rows),
        "The slope of the least-squares line: below 1, turned heads are found less turned than they are.",
    )


def _mean(samples: Sequence[Sample], key: str) -> float | None:
    values = [s.values[key] for s in samples if math.isfinite(s.values[key])]
    return float(np.mean(values)) if values else None


def _table1(samples: Sequence[Sample], seed: int) -> Table:
    bins = [yaw_bin(s.values["yaw_true"]) for s in samples]
    values = [s.values["nme2d"] for s in samples]
    own: list[Cell] = []
    for number in range(len(YAW_BINS_DEG)):
        taken = [v for v, b in zip(values, bins, strict=True) if b == number]
        own.append(float(np.mean(taken)) if taken else None)
    rows: list[tuple[Cell, ...]] = [*published.AFLW2000_NME]
    rows.append((f"ours, {len(samples)} samples", *own, balanced_means(values, bins, _N_SUBSETS, seed)[0]))
    return Table(
        "Table 1 of the reconstruction paper beside ours: NME %, 68 points, 2D",
        ("method", "0 to 30", "30 to 60", "60 to 90", "balanced"),
        tuple(rows),
        "All other rows are the papers' figures on the 2000 samples, as printed there.",
    )


def _dense_landmarks_table(samples: Sequence[Sample]) -> Table:
    bins = [yaw_bin(s.values["yaw_true"]) for s in samples]
    rows: list[tuple[Cell, ...]] = [*published.DENSE_LANDMARKS_NME]
    for key, points in (("nme2d", "68"), ("nme21", "21")):
        by_bin = [
            _mean([s for s, b in zip(samples, bins, strict=True) if b == number], key)
            for number in range(len(YAW_BINS_DEG))
        ]
        rows.append((f"ours, {len(samples)} samples", points, *by_bin, _mean(samples, key)))
    return Table(
        "Tables 5.1 to 5.3 of the thesis beside ours: NME %, 2D",
        ("method", "points", "0 to 30", "30 to 60", "60 to 90", "all"),
        tuple(rows),
        "The other rows are printed figures: 68 points on the 2000 samples, 21 on AFLW's 21 000 test pictures. Ours are on this folder, its visible 21.",
    )


def _curves(samples: Sequence[Sample], failed_yaws: Sequence[float]) -> Figure:
    n_failed = len(failed_yaws)
    curves = {
        f"{title}, {len(samples)} of {len(samples) + n_failed}": ([s.values[key] for s in samples], n_failed)
        for key, title in (("nme2d", "68 points, 2D"), ("nme3d", "68 points, 3D"), ("nme2d_inner", "51 inner, 2D"))
    }
    return Figure("curve", "Cumulative error; failures never arrive", curves_png(curves, "NME, %", _LIMIT_PERCENT))


def _curve_csv(samples: Sequence[Sample], n_failed: int) -> bytes:
    limits = np.linspace(0.0, _LIMIT_PERCENT, 101)
    keys = ("nme2d", "nme3d", "nme2d_inner")
    columns = [cumulative_curve([s.values[k] for s in samples], limits, n_failed) for k in keys]
    rows = [[float(v) for v in row] for row in np.stack([limits, *columns], axis=1)]
    return csv_bytes(("nme_percent", *(f"{k}_percent_of_samples" for k in keys)), rows)


def _dense_note(sets: set[str], samples: Sequence[Sample]) -> str:
    if not sets:
        return NOTHING_DENSE
    count = sum(DENSE.key in sample.values for sample in samples)
    return (
        f"Dense points ({' and '.join(sorted(sets))} a face) were measured on the {count} of {len(samples)} photos that bring "
        "them; they are divided by the box of the 68 points, and hidden ones count too."
    )


def _few(n_samples: int) -> str:
    return f"Only {n_samples} samples: the papers' figures are over 2000, so do not read the tables as a ranking."
