"""Protocol ``scans``: reconstructions from photos against 3D scans, by the rules of MICC and NoW and without them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon.evaluation.journal import Journal
from recon.evaluation.outcome import Outcome, failed, left_out, pack, unpack
from recon.evaluation.predict import Predictor
from recon.evaluation.protocols.scan_tables import by_setting, by_subject, now_table, shrinkage_table, table2
from recon.evaluation.reports.figures import curves_png, labelled, sheet_png
from recon.evaluation.reports.heatmap import colour_bar, heat_tile
from recon.evaluation.reports.result import Evaluation, Figure, Metric, Sample
from recon.evaluation.run import Run, run_facts
from recon.evaluation.scans.errors import HeadSurface, ScanErrors, micc_errors, now_errors
from recon.evaluation.scans.folder import Subject, find_subjects
from recon.evaluation.scans.heads import HeadParts
from recon.evaluation.scans.nonrigid import correspond, nonrigid_errors
from recon.evaluation.scans.scan import Scan, read_scan
from recon.io.faults import UsageError
from recon.io.names import printable

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
    """One head against one scan.

    Attributes:
        values: by the keys of metrics.
        now_distance: of each scan vertex from the head, mm; empty without the rule.
        heatmap_errors: whose distances the heat map shows.
    """

    values: dict[str, float]
    now_distance: Float[np.ndarray, " n"]
    heatmap_errors: ScanErrors


@dataclasses.dataclass(eq=False)
class _Collected:
    """What tables and pictures need besides the samples."""

    notes: list[str] = dataclasses.field(default_factory=list)
    distances: list[Float[np.ndarray, " n"]] = dataclasses.field(default_factory=list)
    mean_distances: list[Float[np.ndarray, " n"]] = dataclasses.field(default_factory=list)
    tiles: list[UInt8[np.ndarray, "h w 3"]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Measuring:
    """What all subjects are measured with."""

    predictor: Predictor
    parts: HeadParts
    mean: HeadSurface
    rules: tuple[str, ...]
    unit: str | None


class _Place:
    """A subject with its scan and the mean head on it, which are read and measured when they are needed first.

    Where an interrupted run had finished all photos of a subject, that is never.
    """

    def __init__(self, subject: Subject, measuring: _Measuring) -> None:
        self.subject = subject
        self._measuring = measuring

    @functools.cached_property
    def scan(self) -> Scan:
        return read_scan(self.subject.scan, self.subject.landmarks, self._measuring.unit)

    @functools.cached_property
    def baseline(self) -> _Measured:
        return _measured(self.scan, self._measuring.mean, self._measuring.parts, self._measuring.rules)


def evaluate_scans(
    folder: Path,
    predictor: Predictor,
    rules: Sequence[str] = RULES,
    unit: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure neutral heads predicted from photos against scans, and the model's mean head beside them.

    Args:
        folder: see :mod:`recon.evaluation.scans.folder`.
        predictor: makes the heads; their expression is left out.
        rules: which of :data:`RULES`.
        unit: of the scans; mm if None.
        progress: is told the name of each picture.
        journal: keeps finished photos, and has those of a run that was interrupted.

    Raises:
        UsageError: unknown rules.
        ScanError: nothing to measure, or scans of another unit.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown or not rules:
        raise UsageError(f"rules must be some of {', '.join(RULES)}, got {', '.join(rules) or 'none'}")
    rules = tuple(rule for rule in RULES if rule in rules)
    subjects, left = find_subjects(folder, unit)
    parts = HeadParts.of(predictor.model)
    measuring = _Measuring(predictor, parts, parts.head(parts.vertices()), rules, unit)
    n_photos = sum(len(subject.photos) for subject in subjects)
    run = Run(run_facts("scans", predictor.facts(), rules=rules, unit=unit), n_photos, journal, left)
    found = _Collected()
    for subject in subjects:
        _subject(_Place(subject, measuring), measuring, run, found, progress)
    metrics = [metric for rule in rules for metric in _METRICS[rule]]
    metrics += [
        dataclasses.replace(metric, key=f"mean_{metric.key}", title=_BASELINE + metric.title)
        for metric in metrics
        if metric.key != "slope"
    ]
    used = [p for s in subjects for p in (s.scan, s.landmarks, *(photo for _, photo in s.photos))]
    return Evaluation(
        protocol="scans",
        title="Shape against scans",
        provenance=run.provenance(predictor.method, predictor.weights, folder, used),
        metrics=tuple(metrics),
        samples=tuple(run.samples),
        failures=tuple(run.failures),
        dropped=tuple(run.dropped),
        tables=_tables(run.samples, found, metrics, rules),
        figures=_figures(found, rules),
        notes=(*_notes(rules), *found.notes),
    )


def _subject(
    place: _Place, measuring: _Measuring, run: Run, found: _Collected, progress: Callable[[str], None]
) -> None:
    """Measure all photos of one subject."""
    subject = place.subject
    truth = (subject.scan, subject.landmarks)
    baseline = run.outcome(f"{subject.name}/", truth, lambda: _baseline(place), apart=True)
    if baseline.dropped is not None:
        return
    found.notes += baseline.kept["notes"]
    first = True
    for setting, photo in subject.photos:
        name = f"{subject.name}/{setting}/{photo.name}"
        progress(printable(name))
        wanted = first and len(found.tiles) < _N_TILES
        outcome = run.outcome(
            name,
            (*truth, photo),
            lambda s=setting, p=photo, w=wanted: _photo(s, p, place, measuring, w),  # type: ignore[misc]
            wanted=("tile",) if wanted else (),
        )
        if outcome.sample is None:
            continue
        found.distances.append(unpack(outcome.kept["distance"]))
        found.mean_distances.append(unpack(baseline.kept["distance"]))
        if wanted:
            found.tiles.append(unpack(outcome.kept["tile"]))
        first = False


def _baseline(place: _Place) -> Outcome:
    """The mean head on a subject's scan; without it no photo of the subject can be measured."""
    try:
        return Outcome(kept={"distance": pack(place.baseline.now_distance), "notes": _scan_notes(place)})
    # Readers of scans and everything that is measured on them raise what they like at a damaged one.
    except Exception as error:
        return left_out(place.subject.name, error)


def _scan_notes(place: _Place) -> list[str]:
    return [printable(f"{place.subject.name}: {note}") for note in place.scan.notes]


def _photo(setting: str, photo: Path, place: _Place, measuring: _Measuring, with_tile: bool) -> Outcome:
    """Measure one photo."""
    subject, parts = place.subject, measuring.parts
    name = f"{subject.name}/{setting}/{photo.name}"
    head = measuring.predictor.predict(photo)
    try:
        got = _measured(place.scan, parts.head(parts.vertices(head.identity[0].numpy())), parts, measuring.rules)
    except ValueError as error:
        return failed(name, f"the head cannot be measured: {error}")
    mean = {f"mean_{key}": value for key, value in place.baseline.values.items() if key not in ("slope", "variance")}
    kept = {"distance": pack(got.now_distance)}
    if with_tile:
        kept["tile"] = pack(_tile(printable(subject.name), place.scan, got, place.baseline))
    labels = {"subject": subject.name, "setting": setting}
    return Outcome(Sample(name, subject.name, got.values | mean, labels), kept=kept)


def _measured(scan: Scan, head: HeadSurface, parts: HeadParts, rules: Sequence[str]) -> _Measured:
    values: dict[str, float] = {}
    distance = np.zeros(0)
    heatmap_errors: ScanErrors | None = None
    if "micc" in rules:
        heatmap_errors = micc_errors(scan, head)
        values["micc"] = heatmap_errors.symmetric
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
        heatmap_errors = heatmap_errors or scaled
    if "nonrigid" in rules:
        rigid = heatmap_errors if heatmap_errors is not None and "micc" in rules else micc_errors(scan, head)
        pairs = correspond(scan, head, rigid.motion)
        errors = nonrigid_errors(pairs, parts.face_of(parts.vertices()))
        values |= {
            "nonrigid": float(np.nanmean(errors.distance)),
            "slope": errors.slope,
            "variance": errors.variance,
            "matched": float(pairs.valid.mean()),
        }
        heatmap_errors = heatmap_errors or rigid
    assert heatmap_errors is not None
    return _Measured(values, distance, heatmap_errors)


def _tables(samples: Sequence[Sample], found: _Collected, metrics: Sequence[Metric], rules: Sequence[str]) -> tuple:
    if not samples:
        return ()
    tables = [by_setting(samples, metrics)]
    if "micc" in rules:
        tables.append(table2(samples))
    if "now" in rules:
        tables.append(now_table(np.concatenate(found.distances), np.concatenate(found.mean_distances)))
    if "nonrigid" in rules:
        tables.append(shrinkage_table(samples))
    return (*tables, by_subject(samples, metrics))


def _figures(found: _Collected, rules: Sequence[str]) -> tuple[Figure, ...]:
    figures = []
    if "now" in rules and found.distances:
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
        picture = heat_tile(
            measured.heatmap_errors.scan, measured.heatmap_errors.scan_to_head, scan.landmarks, _HEAT_LIMIT_MM
        )
        parts.append(labelled(picture, f"{title}, {measured.heatmap_errors.scan_to_head.mean():.2f} mm"))
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
            "compared after a rigid motion without scale. See recon/evaluation/scans/nonrigid.py."
        )
    return tuple(notes)
