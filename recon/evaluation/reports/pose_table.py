"""Head pose by several methods in one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.evaluation.metrics.pose_calibration import CHI2_68
from recon.evaluation.reports import published
from recon.evaluation.reports.compare import ComparisonError
from recon.evaluation.reports.result import Cell, Evaluation, Sample, Table

_AXES = ("yaw", "pitch", "roll")


def pose_table(evaluations: Sequence[Evaluation]) -> Table:
    """A row for each evaluation of one data set, and the published rows below.

    Methods fail on different pictures: the first columns are means over those that each could do, ``shared`` is over those that all
    could.

    Args:
        evaluations: of the protocol ``pose``.

    Raises:
        ComparisonError: none, other protocols, other data, or no shared sample.
    """
    if not evaluations:
        raise ComparisonError("no report was given")
    first = evaluations[0]
    for other in evaluations:
        if not other.protocol.startswith("pose/") or other.protocol != first.protocol:
            raise ComparisonError(
                f"reports of one layout of the protocol pose are put together; these are {first.protocol!r} and {other.protocol!r}"
            )
        if other.provenance.fingerprint != first.provenance.fingerprint:
            raise ComparisonError(
                f"the data of {first.provenance.method!r} and of {other.provenance.method!r} differ (fingerprints "
                f"{first.provenance.fingerprint} and {other.provenance.fingerprint}); evaluate both on the same folder"
            )
    shared = set.intersection(*({sample.name for sample in found.samples} for found in evaluations))
    if not shared:
        raise ComparisonError("the reports share no sample: no picture could be done by all methods")
    rows: list[tuple[Cell, ...]] = [_row(found, shared) for found in evaluations]
    layout = first.protocol.partition("/")[2]
    empty = (None,) * 7
    rows += [(f"published: {name}", *figures, *empty) for name, *figures in published.POSE_MAE.get(layout, ())]
    return Table(
        f"{first.title}, by method, degrees",
        ("method", "MAE", *_AXES, "geodesic", "shared MAE", "failed", "left out", "samples", "stated", "in 68 %"),
        tuple(rows),
        f"{len(shared)} samples by all methods. Stated: root mean square geodesic error that the method claims; in 68 %: share of true "
        "rotations in the ellipsoids that should hold 68 %. Published figures are over whole data sets, of frames that differ.",
    )


def _row(found: Evaluation, shared: set[str]) -> tuple[Cell, ...]:
    samples = list(found.samples)
    told = [sample for sample in samples if "chi2" in sample.values]
    stated = float(np.sqrt(np.mean([s.values["sigma"] ** 2 for s in told]))) if told else None
    inside = float(np.mean([s.values["chi2"] < CHI2_68 for s in told])) if told else None
    return (
        found.provenance.method,
        *(_mean(samples, key) for key in ("mae", *_AXES, "geodesic")),
        _mean([sample for sample in samples if sample.name in shared], "mae"),
        len(found.failures),
        len(found.dropped),
        len(samples),
        stated,
        inside,
    )


def _mean(samples: Sequence[Sample], key: str) -> float | None:
    return float(np.mean([sample.values[key] for sample in samples])) if samples else None
