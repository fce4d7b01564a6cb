"""Protocol ``depth`` with several methods: our network, the fit and the mean head on the same pixels of the same faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from recon.evaluation.depth_cases import CaseSource
from recon.evaluation.depth_methods import DepthCase, DepthMethod, FoundDepth
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.depth import depth_errors
from recon.evaluation.outcome import Outcome, failed, left_out
from recon.evaluation.reports.provenance import provenance
from recon.evaluation.reports.result import Cell, Evaluation, Metric, Sample, Table
from recon.evaluation.run import Run, run_facts
from recon.io.faults import reason
from recon.io.names import printable

_MEASURES: tuple[tuple[str, str, str, int], ...] = (
    ("rmse_median", "RMSE after the median scale", "mm", 2),
    ("abs_rel", "AbsRel, metric", "", 4),
    ("rmse", "RMSE, metric", "mm", 2),
    ("normals_deg", "normals, mean angle", "degrees", 2),
)
_SIGMA_EDGES_MM = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, math.inf)
_WITHIN_LAPLACE = 1.0 - math.exp(-1.0)


def evaluate_depth_methods(
    cases: CaseSource,
    methods: Sequence[DepthMethod],
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure methods side by side, over those pixels of each face that all of them cover.

    Args:
        cases: the faces.
        methods: each of another name.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        ValueError: no method.
    """
    if not methods:
        raise ValueError("no method of depth to measure")
    facts = {m.name: m.facts() for m in methods}
    run = Run(run_facts("depth methods", facts, cases=cases.fingerprint), len(cases.names), journal, cases.left)
    bins = np.zeros((len(_SIGMA_EDGES_MM) - 1, 4))
    for name in cases.names:
        progress(printable(name))
        found = run.outcome(
            name,
            cases.files[name],
            lambda name=name: _outcome(name, cases, methods),  # type: ignore[misc]
        )
        if found.sample is not None and "sigma" in found.kept:
            bins += np.asarray(found.kept["sigma"], dtype=np.float64)
    told, weights = "; ".join(m.description for m in methods), "; ".join(m.weights for m in methods)
    if cases.root is None:
        origin = provenance(told, weights, cases.about, (cases.fingerprint, 0), run.seconds)
    else:
        origin = run.provenance(told, weights, cases.root, [path for name in cases.names for path in cases.files[name]])
    return Evaluation(
        protocol="depth/methods",
        title="Depth by several methods",
        provenance=origin,
        metrics=_metrics([m.name for m in methods]),
        samples=tuple(run.samples),
        failures=tuple(run.failures),
        dropped=tuple(run.dropped),
        tables=(_summary(run.samples, methods), *_calibration(run.samples, bins)),
        notes=(
            "Each face is measured over the pixels of its front that are seen and that all methods cover; 'covered' says how much "
            "of the front each method covers by itself. A face for which one method finds nothing is a failure of all.",
            "Median scale: the prediction times the median of the truth over its own. AbsRel and RMSE, metric, are without it, so "
            "they hold the error of the head's distance for the focal length that is told.",
            "The mean head is told the true pose and place, and nothing of the face.",
        ),
    )


def _metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"{name}_{key}", f"{name}: {title}", unit, True, digits)
        for key, title, unit, digits in _MEASURES
        for name in names
    )


def _outcome(name: str, cases: CaseSource, methods: Sequence[DepthMethod]) -> Outcome:
    try:
        case = cases.load(name)
    # Whatever a damaged file, or a face that cannot be drawn, raises: it is one picture.
    except Exception as error:
        return left_out(name, error)
    found: dict[str, FoundDepth] = {}
    for method in methods:
        try:
            found[method.name] = method.find(case)
        # Whatever a method raises for a photo that it cannot do.
        except Exception as error:
            _ = failed(name, error)  # raises what would come again for every photo
            return failed(name, f"{method.name}: {reason(error)}")
    covered = {key: np.isfinite(depth.depth_mm) & case.face for key, depth in found.items()}
    counts = np.logical_and.reduce(list(covered.values()))
    if not counts.any():
        return failed(name, "the methods and the truth share no pixel of the face")
    values: dict[str, float] = {}
    for key, depth in found.items():
        values |= {f"{key}_{name}": value for name, value in _errors(depth, case, counts).items()}
        values[f"{key}_covered"] = float(covered[key].sum() / case.face.sum())
    kept = {}
    stated = next((depth for depth in found.values() if depth.sigma_mm is not None), None)
    if stated is not None:
        kept["sigma"] = sigma_bins(stated, case, counts).tolist()
        within, off = _scaled(stated, case, counts)
        assert stated.sigma_mm is not None
        values["within_sigma"] = float((np.abs(within) < stated.sigma_mm[counts]).mean())
        if stated.distance_sigma is not None:
            values["distance_over_sigma"] = abs(off) / stated.distance_sigma
    return Outcome(Sample(name, name, values), kept=kept)


def _errors(found: FoundDepth, case: DepthCase, counts: Bool[np.ndarray, "h w"]) -> dict[str, float]:
    depth_mm = np.asarray(found.depth_mm, dtype=np.float64)
    raw = depth_errors(depth_mm, case.depth_mm, counts).values
    values = {
        "rmse_median": depth_errors(depth_mm, case.depth_mm, counts, "median").values["rmse"],
        "abs_rel": raw["abs_rel"],
        "rmse": raw["rmse"],
    }
    if case.normals is not None:
        both = counts & np.isfinite(case.normals).all(axis=2) & np.isfinite(found.normals).all(axis=2)
        if both.any():
            values["normals_deg"] = normals_deg(found.normals[both], case.normals[both])
    return values


def normals_deg(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]) -> float:
    """Mean angle between unit vectors, degrees."""
    apart = np.linalg.norm(np.asarray(first, dtype=np.float64) - second, axis=1)
    together = np.linalg.norm(np.asarray(first, dtype=np.float64) + second, axis=1)
    return float(np.degrees(2.0 * np.arctan2(apart, together)).mean())


def _scaled(
    found: FoundDepth, case: DepthCase, counts: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, " n"], float]:
    """Errors after the median scale, mm, and the logarithm of that scale."""
    d, g = np.asarray(found.depth_mm, dtype=np.float64)[counts], case.depth_mm[counts]
    scale = float(np.median(g) / np.median(d))
    return scale * d - g, math.log(scale)


def sigma_bins(found: FoundDepth, case: DepthCase, counts: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "k 4"]:
    """Of the pixels of each bin of stated sigma: their number, the sums of sigma and of the absolute error after the median scale, and
    how many of these errors are below sigma."""
    assert found.sigma_mm is not None
    error, _ = _scaled(found, case, counts)
    size, sigma = np.abs(error), np.asarray(found.sigma_mm, dtype=np.float64)[counts]
    number = np.digitize(sigma, _SIGMA_EDGES_MM[1:-1])
    columns = (np.ones_like(sigma), sigma, size, (size < sigma).astype(np.float64))
    bins = len(_SIGMA_EDGES_MM) - 1
    return np.stack([np.bincount(number, column, bins) for column in columns], axis=1)


def _summary(samples: Sequence[Sample], methods: Sequence[DepthMethod]) -> Table:
    def mean(key: str) -> float | None:
        taken = [s.values[key] for s in samples if key in s.values and math.isfinite(s.values[key])]
        return float(np.mean(taken)) if taken else None

    rows: list[tuple[Cell, ...]] = []
    for method in methods:
        covered = mean(f"{method.name}_covered")
        rows.append(
            (
                method.name,
                *(mean(f"{method.name}_{key}") for key, *_ in _MEASURES),
                None if covered is None else 100.0 * covered,
            )
        )
    columns = (f"{title} [{unit}]" if unit else title for _, title, unit, _ in _MEASURES)
    return Table(f"Methods, mean over {len(samples)} faces", ("method", *columns, "covered [%]"), tuple(rows), digits=3)


def _calibration(samples: Sequence[Sample], bins: Float[np.ndarray, "k 4"]) -> tuple[Table, ...]:
    if not bins[:, 0].any():
        return ()
    rows: list[tuple[Cell, ...]] = []
    for (low, high), (count, sigma, size, within) in zip(
        zip(_SIGMA_EDGES_MM[:-1], _SIGMA_EDGES_MM[1:], strict=True), bins, strict=True
    ):
        if count:
            title = f"{low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}"
            rows.append((title, int(count), sigma / count, size / count, 100.0 * within / count))
    count, sigma, size, within = bins.sum(axis=0)
    rows.append(("all", int(count), sigma / count, size / count, 100.0 * within / count))
    over = [s.values["distance_over_sigma"] for s in samples if "distance_over_sigma" in s.values]
    told = (
        f" The head's distance is within its stated scale for {100.0 * np.mean(np.less(over, 1.0)):.0f} %."
        if over
        else ""
    )
    return (
        Table(
            "Is the stated error of depth true? Pixels by what the network states",
            ("stated, mm", "pixels", "mean stated, mm", "mean error, mm", "within the stated [%]"),
            tuple(rows),
            f"Stated is the scale of a Laplace distribution: its mean error is that scale, and {100.0 * _WITHIN_LAPLACE:.0f} % "
            f"are within it. Errors are those after the median scale.{told}",
        ),
    )
