"""Two evaluations of one protocol side by side."""

from __future__ import annotations

import numpy as np

from recon.evaluation.metrics.statistics import summarise
from recon.evaluation.reports.report import interval, number
from recon.evaluation.reports.result import Cell, Evaluation, Table


class ComparisonError(ValueError):
    """Two evaluations that cannot be compared."""


def compare(first: Evaluation, second: Evaluation) -> Table:
    """Means of both on the samples they share, and the mean of the paired differences with its 95 % interval.

    A difference whose interval leaves out 0 is marked as better or worse.

    Raises:
        ComparisonError: other protocols, no shared sample, or no shared measure.
    """
    if first.protocol != second.protocol:
        raise ComparisonError(f"protocols differ: {first.protocol!r} and {second.protocol!r}")
    other = {sample.name: sample for sample in second.samples}
    pairs = [(sample, other[sample.name]) for sample in first.samples if sample.name in other]
    if not pairs:
        raise ComparisonError("the two evaluations share no sample; were they run on the same data?")
    keys = {metric.key for metric in second.metrics}
    shared = [metric for metric in first.metrics if metric.key in keys]
    if not shared:
        raise ComparisonError("the two evaluations share no measure")
    rows: list[tuple[Cell, ...]] = []
    for metric in shared:
        nan = float("nan")
        a = np.array([one.values.get(metric.key, nan) for one, _ in pairs])
        b = np.array([two.values.get(metric.key, nan) for _, two in pairs])
        groups = [one.group for one, _ in pairs]
        found = summarise(b - a, groups)
        both = np.isfinite(a) & np.isfinite(b)
        unit = f" [{metric.unit}]" if metric.unit else ""
        rows.append(
            (
                metric.title + unit,
                number(float(a[both].mean()) if both.any() else nan, metric.digits),
                number(float(b[both].mean()) if both.any() else nan, metric.digits),
                number(found.mean, metric.digits),
                interval(found, metric.digits),
                _verdict(found.low, found.high, metric.lower_is_better),
                found.n,
            )
        )
    return Table(
        f"{first.title}: a against b",
        ("measure", "a", "b", "b - a", "95 % interval", "b is", "samples"),
        tuple(rows),
        _note(first, second, len(pairs)),
    )


def _verdict(low: float, high: float, lower_is_better: bool | None) -> str:
    if not (np.isfinite(low) and np.isfinite(high)) or low <= 0.0 <= high or lower_is_better is None:
        return "not distinguishable" if np.isfinite(low) and lower_is_better is not None else "–"
    return "better" if (high < 0.0) == lower_is_better else "worse"


def _note(first: Evaluation, second: Evaluation, n_pairs: int) -> str:
    a, b = first.provenance, second.provenance
    parts = [
        f"a: {a.method}, commit {a.commit}, {len(first.failures)} failed; "
        f"b: {b.method}, commit {b.commit}, {len(second.failures)} failed.",
        f"{n_pairs} samples in both; only in a: {len(first.samples) - n_pairs}, only in b: {len(second.samples) - n_pairs}.",
    ]
    if a.fingerprint != b.fingerprint:
        parts.append(f"The data differ (fingerprints {a.fingerprint} and {b.fingerprint}).")
    return " ".join(parts)
