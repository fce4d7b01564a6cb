"""Tables of the ``scans`` protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from recon.evaluation.metrics.statistics import summarise
from recon.evaluation.reports import published
from recon.evaluation.reports.report import number
from recon.evaluation.reports.result import Cell, Metric, Sample, Table

_SETTINGS = ("cooperative", "indoor", "outdoor")


def by_setting(samples: Sequence[Sample], metrics: Sequence[Metric]) -> Table:
    """Mean and standard deviation of each measure in each setting."""
    settings = sorted({s.labels["setting"] for s in samples})
    rows: list[tuple[Cell, ...]] = []
    for metric in metrics:
        row: list[Cell] = [metric.title]
        for setting in [*settings, None]:
            taken = [s.values[metric.key] for s in samples if setting is None or s.labels["setting"] == setting]
            row.append(_mean_std(taken, metric.digits))
        rows.append(tuple(row))
    counts = [sum(s.labels["setting"] == setting for s in samples) for setting in settings]
    rows.append(("photos", *counts, len(samples)))
    return Table("By setting: mean ± standard deviation over photos, mm", ("measure", *settings, "all"), tuple(rows))


def by_subject(samples: Sequence[Sample], metrics: Sequence[Metric]) -> Table:
    """Mean of each measure over the photos of each subject."""
    rows: list[tuple[Cell, ...]] = []
    for name in sorted({s.group for s in samples}):
        own = [s for s in samples if s.group == name]
        means = [float(np.mean([s.values[m.key] for s in own])) for m in metrics]
        rows.append((name, len(own), *means))
    names = ("subject", "photos", *(m.key.replace("_", " ") for m in metrics))
    return Table(
        "By subject, mm", names, tuple(rows), "Columns by their names in report.json; 'mean ...' is the mean head."
    )


def table2(samples: Sequence[Sample]) -> Table:
    """Table 2 of the reconstruction paper beside ours."""
    rows: list[tuple[Cell, ...]] = [*published.MICC_MM]
    for title, key in (
        ("ours", "micc"),
        ("ours, with scale", "micc_scaled"),
        ("mean head", "mean_micc"),
        ("mean head, with scale", "mean_micc_scaled"),
    ):
        means = []
        for setting in _SETTINGS:
            taken = [s.values[key] for s in samples if s.labels["setting"] == setting]
            means.append(float(np.mean(taken)) if taken else None)
        rows.append((title, *means, float(np.mean([s.values[key] for s in samples]))))
    rows = [row if len(row) == 5 else (*row, None) for row in rows]
    return Table(
        "Table 2 of the reconstruction paper beside ours: mm",
        ("method", *_SETTINGS, "all photos"),
        tuple(rows),
        "Rows of other methods are printed figures on MICC Florence; ours are on the data named below.",
        digits=3,
    )


def now_table(distances: Float[np.ndarray, " n"], mean_distances: Float[np.ndarray, " n"]) -> Table:
    """NoW's three numbers, over all scan vertices of all photos together."""
    rows: list[tuple[Cell, ...]] = [(f"{name}, {source}", *values) for name, source, *values in published.NOW_MM]
    for title, pool in (("ours", distances), ("mean head", mean_distances)):
        rows.append((title, float(np.median(pool)), float(pool.mean()), float(pool.std())))
    return Table(
        "NoW: scan to mesh, all vertices of all photos together, mm",
        ("method", "median", "mean", "std"),
        tuple(rows),
        "Rows of other methods are printed figures on the NoW test set; ours are on the data named below.",
    )


def shrinkage_table(samples: Sequence[Sample]) -> Table:
    """How much of the identity comes back."""
    slope = np.array([s.values["slope"] for s in samples])
    weight = np.array([s.values["variance"] for s in samples])
    pooled = float((slope * weight).sum() / max(float(weight.sum()), 1e-12))
    found = summarise(slope, [s.group for s in samples])
    ours = summarise([s.values["nonrigid"] for s in samples])
    mean = summarise([s.values["mean_nonrigid"] for s in samples])
    return Table(
        "Non-rigid correspondence: is the identity there, or shrunken?",
        ("head", "error, mm", "recovery slope, pooled", "slope a photo", "face matched"),
        (
            ("ours", ours.mean, pooled, _mean_std(slope, 2), float(np.mean([s.values["matched"] for s in samples]))),
            ("mean head", mean.mean, 0.0, "0 by definition", None),
        ),
        f"Interval of the mean slope over photos: {number(found.low)} to {number(found.high)}.",
    )


def _mean_std(values: Sequence[float] | Float[np.ndarray, " n"], digits: int) -> str:
    if len(values) == 0:
        return "–"
    return f"{number(float(np.mean(values)), digits)} ± {number(float(np.std(values)), digits)}"
