"""Protocol ``scans``: reconstructions from photos against 3D scans, by the rules of MICC and NoW and without them."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon.evaluation.figures import curves_png, labelled, sheet_png
from recon.evaluation.heads import HeadParts
from recon.evaluation.heatmap import colour_bar, heat_tile
from recon.evaluation.nonrigid import correspond, nonrigid_errors
from recon.evaluation.predict import Predictor, predict
from recon.evaluation.protocols.scan_tables import by_setting, by_subject, now_table, shrinkage_table, table2
from recon.evaluation.provenance import provenance
from recon.evaluation.result import Evaluation, Figure, Left, Metric, Sample
from recon.evaluation.scan import Scan, ScanError, read_scan
from recon.evaluation.scan_errors import HeadSurface, ScanErrors, micc_errors, now_errors
from recon.evaluation.scan_folder import Subject, find_subjects

RULES = ("micc", "now", "nonrigid")
_METRICS = {
    "micc": (
        Metric("micc", "symmetric point-to-plane, rigid (micc)", "mm", digits=3),
        Metric("micc_scaled", "symmetric point-to-plane, rigid and scale (micc)", "mm", digits=3),
    ),
    "now": (
        Metric("now_median", "scan to mesh, median, with scale (now)", "mm", digits=3),
        Metric("now_mean", "scan to mesh, mean, with scale (now)", "mm", digits=3),
        Metric("now_metrical_median", "scan to mesh, median, without scale (now)", "mm", digits=3),
    ),
    "nonrigid": (
        Metric("nonrigid", "corresponding points, rigid, mean", "mm", digits=3),
        Metric("slope", "identity recovery slope (1 is right)", "", None, 3),
    ),
}
_BASELINE = "mean head: "
_HEAT_LIMIT_MM = 4.0
_CURVE_LIMIT_MM = 7.0
_N_TILES = 12


@dataclasses.dataclass(frozen=True, eq=False)
class _Measured:
    """One head against one scan."""

    values: dict[str, float]
    now_distance: Float[np.ndarray, " n"]
    shown: ScanErrors


@dataclasses.dataclass(eq=False)
class _Collected:
    """What a run gathers for tables and pictures."""

    samples: list[Sample] = dataclasses.field(default_factory=list)
    failures: list[Left] = dataclasses.field(default_factory=list)
    dropped: list[Left] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    distances: list[Float[np.ndarray, " n"]] = dataclasses.field(default_factory=list)
    mean_distances: list[Float[np.ndarray, " n"]] = dataclasses.field(default_factory=list)
    tiles: list[UInt8[np.ndarray, "h w 3"]] = dataclasses.field(default_factory=list)


def evaluate_scans(
    folder: Path,
    predictor: Predictor,
    rules: Sequence[str] = RULES,
    unit: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Measure neutral heads predicted from photos against scans, and the model's mean head beside them.

    Args:
        folder: see :mod:`recon.evaluation.scan_folder`.
        predictor: makes the heads; their expression is left out.
        rules: which of :data:`RULES`.
        unit: of the scans; mm if None.
        progress: is told the name of each picture.

    Raises:
        ValueError: unknown rules.
        ScanError: nothing to measure, or scans of another unit.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown or not rules:
        raise ValueError(f"rules must be some of {', '.join(RULES)}, got {', '.join(rules) or 'none'}")
    started = time.perf_counter()
    subjects, left = find_subjects(folder, unit)
    parts = HeadParts.of(predictor.model)
    mean = parts.head(parts.vertices())
    found = _Collected(dropped=left)
    for subject in subjects:
        try:
            scan = read_scan(subject.scan, subject.landmarks, unit)
            baseline = _measured(scan, mean, parts, rules)
        except (ScanError, ValueError) as error:
            found.dropped.append(Left(subject.name, str(error)))
            continue
        found.notes += [f"{subject.name}: {note}" for note in scan.notes]
        _photos(subject, scan, baseline, predictor, parts, rules, found, progress)
    metrics = [metric for rule in RULES if rule in rules for metric in _METRICS[rule]]
    metrics += [
        dataclasses.replace(metric, key=f"mean_{metric.key}", title=_BASELINE + metric.title)
        for metric in metrics
        if metric.key != "slope"
    ]
    used = [p for s in subjects for p in (s.scan, s.landmarks, *(photo for _, photo in s.photos))]
    return Evaluation(
        protocol="scans",
        title="Shape against scans",
        provenance=provenance(
            predictor.method, predictor.weights, folder.name, used, folder, time.perf_counter() - started
        ),
        metrics=tuple(metrics),
        samples=tuple(found.samples),
        failures=tuple(found.failures),
        dropped=tuple(found.dropped),
        tables=_tables(found, metrics, rules),
        figures=_figures(found, rules),
        notes=(*_notes(rules), *found.notes),
    )


def _photos(
    subject: Subject,
    scan: Scan,
    baseline: _Measured,
    predictor: Predictor,
    parts: HeadParts,
    rules: Sequence[str],
    found: _Collected,
    progress: Callable[[str], None],
) -> None:
    """Measure all photos of one subject."""
    mean_values = {f"mean_{key}": value for key, value in baseline.values.items() if key not in ("slope", "variance")}
    first = True
    for setting, photo in subject.photos:
        name = f"{subject.name}/{setting}/{photo.name}"
        progress(name)
        head = predict(predictor, photo)
        if isinstance(head, str):
            found.failures.append(Left(name, head))
            continue
        try:
            got = _measured(scan, parts.head(parts.vertices(head.identity[0].numpy())), parts, rules)
        except ValueError as error:
            found.failures.append(Left(name, f"the head cannot be measured: {error}"))
            continue
        labels = {"subject": subject.name, "setting": setting}
        found.samples.append(Sample(name, subject.name, got.values | mean_values, labels))
        found.distances.append(got.now_distance)
        found.mean_distances.append(baseline.now_distance)
        if first and len(found.tiles) < _N_TILES:
            found.tiles.append(_tile(subject.name, scan, got, baseline))
        first = False


def _measured(scan: Scan, head: HeadSurface, parts: HeadParts, rules: Sequence[str]) -> _Measured:
    values: dict[str, float] = {}
    distance = np.zeros(0)
    shown: ScanErrors | None = None
    if "micc" in rules:
        shown = micc_errors(scan, head)
        values["micc"] = shown.symmetric
        values["micc_scaled"] = micc_errors(scan, head, with_scale=True).symmetric
    if "now" in rules:
        scaled = now_errors(scan, head)
        distance = scaled.scan_to_head.astype(np.float32)
        metrical = now_errors(scan, head, with_scale=False).scan_to_head
        values |= {
            "now_median": float(np.median(distance)),
            "now_mean": float(distance.mean()),
            "now_metrical_median": float(np.median(metrical)),
            "now_scale": scaled.motion.scale,
        }
        shown = shown or scaled
    if "nonrigid" in rules:
        rigid = shown if shown is not None and "micc" in rules else micc_errors(scan, head)
        pairs = correspond(scan, head, rigid.motion)
        errors = nonrigid_errors(pairs, parts.face_of(parts.vertices()))
        values |= {
            "nonrigid": float(np.nanmean(errors.distance)),
            "slope": errors.slope,
            "variance": errors.variance,
            "matched": float(pairs.valid.mean()),
        }
        shown = shown or rigid
    assert shown is not None
    return _Measured(values, distance, shown)


def _tables(found: _Collected, metrics: Sequence[Metric], rules: Sequence[str]) -> tuple:
    if not found.samples:
        return ()
    tables = [by_setting(found.samples, metrics)]
    if "micc" in rules:
        tables.append(table2(found.samples))
    if "now" in rules:
        tables.append(now_table(np.concatenate(found.distances), np.concatenate(found.mean_distances)))
    if "nonrigid" in rules:
        tables.append(shrinkage_table(found.samples))
    return (*tables, by_subject(found.samples, metrics))


def _figures(found: _Collected, rules: Sequence[str]) -> tuple[Figure, ...]:
    figures = []
    if "now" in rules and found.samples:
        pooled, mean = np.concatenate(found.distances), np.concatenate(found.mean_distances)
        png = curves_png(
            {"ours": (_thinned(pooled), 0), "mean head": (_thinned(mean), 0)},
            "scan to mesh distance, mm (now)",
            _CURVE_LIMIT_MM,
            "percent of scan vertices",
        )
        figures.append(Figure("now_curve", "Cumulative distance over all scan vertices", png))
    if found.tiles:
        columns = min(2, len(found.tiles))
        bar = colour_bar(found.tiles[0].shape[1], _HEAT_LIMIT_MM)
        # One bar under each column.
        last = len(found.tiles) - columns
        blank = np.full_like(bar, 255)
        tiles = [np.concatenate([t, bar if k >= last else blank]) for k, t in enumerate(found.tiles)]
        title = "Distance of the scan from the prediction (left) and from the mean head (right), first photo of each subject"
        figures.append(Figure("heat_maps", title, sheet_png(tiles, columns)))
    return tuple(figures)


def _tile(name: str, scan: Scan, got: _Measured, baseline: _Measured) -> UInt8[np.ndarray, "h w 3"]:
    parts = []
    for title, measured in ((f"{name}: ours", got), ("mean head", baseline)):
        picture = heat_tile(measured.shown.scan, measured.shown.scan_to_head, scan.landmarks, _HEAT_LIMIT_MM)
        parts.append(labelled(picture, f"{title}, {measured.shown.scan_to_head.mean():.2f} mm"))
    return np.concatenate(parts, axis=1)


def _thinned(values: Float[np.ndarray, " n"]) -> list[float]:
    """At most 20 000 quantiles of many values: a curve needs no more."""
    n_points = min(len(values), 20_000)
    return [float(v) for v in np.quantile(values, (np.arange(n_points) + 0.5) / max(n_points, 1)) if math.isfinite(v)]


def _notes(rules: Sequence[str]) -> tuple[str, ...]:
    notes = [
        "Heads are neutral: the expression of the fit is left out. Only the outside of the head is measured: skin and the "
        "front of the eyes.",
        "The mean head of the model is measured on the same scans by the same rules: what is not below it has learnt no "
        "identity.",
    ]
    if "micc" in rules:
        notes.append(
            "micc: scan and head cropped 95 mm around the nose tip (the vertex that stands out most), alignment by the seven "
            "landmarks, robust rigid ICP, then the mean of both directions of point-to-plane distances over vertices."
        )
    if "now" in rules:
        notes.append(
            "now: the crop and the two alignment steps of github.com/soubhiksanyal/now_evaluation (7bd1498), written anew; "
            "distances of all scan vertices in the crop to the nearest surface point."
        )
    if "nonrigid" in rules:
        notes.append(
            "nonrigid: the head is deformed onto the scan only to find which points correspond; the undeformed head is then "
            "compared after a rigid motion without scale. See recon/evaluation/nonrigid.py."
        )
    return tuple(notes)
