"""Protocol ``pose``: head pose on AFLW2000-3D, BIWI and C3I-SynFace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recon.datasets.pose_conventions import matrix_to_angles
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.evaluation.outcome import Outcome
from recon.evaluation.pose_labels import PoseLabel, find_poses
from recon.evaluation.predict import Predictor
from recon.evaluation.reports import published
from recon.evaluation.reports.figures import curves_png
from recon.evaluation.reports.result import Cell, Evaluation, Figure, Metric, Sample, Skipped, Table
from recon.evaluation.run import Run, run_facts
from recon.io.names import printable

METRICS = (
    Metric("mae", "mean of the three absolute errors", "degrees"),
    Metric("yaw", "yaw, absolute error", "degrees"),
    Metric("pitch", "pitch, absolute error", "degrees"),
    Metric("roll", "roll, absolute error", "degrees"),
    Metric("geodesic", "geodesic error", "degrees"),
)
_LIMIT_DEG = 30.0
_AXES = ("yaw", "pitch", "roll")


def evaluate_pose(
    folder: Path,
    predictor: Predictor,
    layout: str = "aflw2000",
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure head pose.

    Args:
        folder: of the data set.
        predictor: makes the heads.
        layout: one of :data:`recon.evaluation.pose_labels.LAYOUTS`.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        ValueError: an unknown layout.
        LabelError: nothing to measure.
    """
    labels, left = find_poses(folder, layout)
    run = Run(run_facts("pose", predictor.facts(), layout=layout), len(labels), journal, left)
    for label in labels:
        progress(printable(label.name))
        pair = (label.photo, label.label_file)
        run.outcome(label.name, pair, lambda label=label: _outcome(label, predictor))  # type: ignore[misc]
    samples, failures = run.samples, run.failures
    files = [path for label in labels for path in (label.photo, label.label_file)]
    return Evaluation(
        protocol=f"pose/{layout}",
        title=f"Head pose, layout {layout}",
        provenance=run.provenance(predictor.method, predictor.weights, folder, files),
        metrics=METRICS,
        samples=tuple(samples),
        failures=tuple(failures),
        dropped=tuple(run.dropped),
        tables=(_ranges(samples, failures, labels, layout), _published(samples, layout)),
        figures=_figures(samples, len(failures)),
        notes=_notes(labels, layout),
    )


def _outcome(label: PoseLabel, predictor: Predictor) -> Outcome:
    head = predictor.predict(label.photo, label.box)
    return Outcome(_measure(label, head.camera.rotation[0].double().numpy()))


def _measure(label: PoseLabel, rotation: np.ndarray) -> Sample:
    found = matrix_to_angles(rotation, label.convention)
    errors = angle_differences(found, label.angles_deg)
    values = {name: float(error) for name, error in zip(_AXES, errors, strict=True)}
    values |= {f"{name}_true": float(angle) for name, angle in zip(_AXES, label.angles_deg, strict=True)}
    values |= {"mae": float(errors.mean()), "geodesic": geodesic_deg(rotation, label.rotation)}
    return Sample(label.name, label.group, values, {"group": label.group})


def _ranges(samples: Sequence[Sample], failures: Sequence[Skipped], labels: Sequence[PoseLabel], layout: str) -> Table:
    failed = {entry.name for entry in failures}
    missed = [label.angles_deg for label in labels if printable(label.name) in failed]
    rows: list[tuple[Cell, ...]] = []
    for name, *most in [*published.BIWI_RANGES, ("all", 180.0, 180.0, 180.0)]:
        taken = [s for s in samples if all(abs(s.values[f"{a}_true"]) <= m for a, m in zip(_AXES, most, strict=True))]
        n_failed = sum(bool((np.abs(angles) <= most).all()) for angles in missed)
        means = [float(np.mean([s.values[k] for s in taken])) if taken else None for k in ("mae", *_AXES, "geodesic")]
        paper = published.BIWI_RANGE_MAE.get(name, (None, None)) if layout == "biwi" else ()
        rows.append((name, *means, len(taken), n_failed, *paper))
    columns: tuple[str, ...] = ("range", "MAE", *_AXES, "geodesic", "samples", "failed")
    if layout == "biwi":
        columns = (*columns, "paper: SynHead", "paper: synthetic")
    return Table(
        "By range of the true angles, degrees",
        columns,
        tuple(rows),
        "Y90P10R10: absolute yaw up to 90, pitch and roll up to 10 degrees, and so on.",
    )


def _published(samples: Sequence[Sample], layout: str) -> Table:
    own = [float(np.mean([s.values[k] for s in samples])) if samples else None for k in ("mae", *_AXES)]
    rows: list[tuple[Cell, ...]] = [*published.POSE_MAE[layout], (f"ours, {len(samples)} samples", *own)]
    return Table(
        "Published figures beside ours, degrees",
        ("method", "MAE", *_AXES),
        tuple(rows),
        "Published figures are over whole data sets; papers differ in the frames that their detectors leave out.",
    )


def _figures(samples: Sequence[Sample], n_failed: int) -> tuple[Figure, ...]:
    if not samples:
        return ()
    curves = {name: ([s.values[name] for s in samples], n_failed) for name in (*_AXES, "geodesic")}
    title = "Cumulative error; failures never arrive"
    return (Figure("curve", title, curves_png(curves, "absolute error, degrees", _LIMIT_DEG)),)


def _notes(labels: Sequence[PoseLabel], layout: str) -> tuple[str, ...]:
    notes = [
        f"Angles are compared in the data set's convention ({labels[0].convention}, see recon/datasets/pose_conventions.py); the "
        "geodesic error is the angle of the rotation between both and needs no convention.",
    ]
    if layout == "c3i":
        notes.append(
            "C3I-SynFace: a head at zero angles is taken to look along the camera's axis back at it; the published text does "
            "not state the sign map to BIWI."
        )
    if layout == "biwi":
        notes.append(
            "BIWI: papers drop different frames and use different Euler orders, so figures compare only roughly."
        )
    return tuple(notes)
