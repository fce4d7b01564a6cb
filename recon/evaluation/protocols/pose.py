"""Protocol ``pose``: head pose on published data sets, by any method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recon.datasets.pose_conventions import matrix_to_angles
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.evaluation.metrics.pose_calibration import calibration_rows, calibration_values
from recon.evaluation.mixed_up_convention import mixed_up_convention
from recon.evaluation.outcome import Outcome, pack, unpack
from recon.evaluation.pose_labels import PoseLabel, find_poses
from recon.evaluation.pose_source import FoundPose, PoseSource, poses_of_heads, turned_by
from recon.evaluation.predict import Predictor
from recon.evaluation.reports import published
from recon.evaluation.reports.figures import curves_png
from recon.evaluation.reports.result import Cell, Evaluation, Figure, Metric, Sample, Skipped, Table
from recon.evaluation.run import Run, run_facts
from recon.io.names import printable

logger = logging.getLogger(__name__)

METRICS = (
    Metric("mae", "mean of the three absolute errors", "degrees"),
    Metric("yaw", "yaw, absolute error", "degrees"),
    Metric("pitch", "pitch, absolute error", "degrees"),
    Metric("roll", "roll, absolute error", "degrees"),
    Metric("geodesic", "geodesic error", "degrees"),
)
_LIMIT_DEG = 30.0
_AXES = ("yaw", "pitch", "roll")
_PROFILE_DEG = 60.0


def evaluate_pose(
    folder: Path,
    source: Predictor | PoseSource,
    layout: str = "aflw2000",
    convention: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure head pose.

    Args:
        folder: of the data set.
        source: of the poses, or of heads.
        layout: one of :data:`recon.evaluation.pose_labels.LAYOUTS`.
        convention: what the angles of the layout ``table`` mean.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        ValueError: an unknown layout or convention.
        LabelError: nothing to measure.
    """
    labels, left = find_poses(folder, layout, convention)
    poses = poses_of_heads(source) if isinstance(source, Predictor) else source
    facts = run_facts("pose", poses.facts(), layout=layout, convention=convention)
    run = Run(facts, len(labels), journal, left)
    rotations: dict[str, np.ndarray] = {}
    for label in labels:
        progress(printable(label.name))
        pair = (label.photo, label.label_file)
        outcome = run.outcome(
            label.name,
            pair,
            lambda label=label: _outcome(label, poses),  # type: ignore[misc]
            wanted=("rotation",),
        )
        if outcome.sample is not None:
            rotations[label.name] = unpack(outcome.kept["rotation"])
    mixed_up = _mixed_up(labels, rotations)
    if mixed_up:
        logger.warning("%s", mixed_up)
    samples, failures = run.samples, run.failures
    files = [path for label in labels for path in (label.photo, label.label_file)]
    return Evaluation(
        protocol=f"pose/{layout}",
        title=f"Head pose, layout {layout}",
        provenance=run.provenance(poses.method, poses.weights, folder, files),
        metrics=METRICS,
        samples=tuple(samples),
        failures=tuple(failures),
        dropped=tuple(run.dropped),
        tables=(
            _ranges(samples, failures, labels, layout),
            *_calibration(samples),
            *_published(samples, layout),
        ),
        figures=_figures(samples, len(failures)),
        notes=(*((mixed_up,) if mixed_up else ()), *_notes(labels, layout)),
    )


def _outcome(label: PoseLabel, poses: PoseSource) -> Outcome:
    found = poses.find(label.photo, label.box)
    rotation = found.rotation_axis
    if rotation is None:
        rotation = turned_by(found.rotation_ray, label.translation_mm)
    return Outcome(_measure(label, rotation, found), kept={"rotation": pack(rotation)})


def _measure(label: PoseLabel, rotation: np.ndarray, found: FoundPose) -> Sample:
    angles = matrix_to_angles(rotation, label.convention)
    errors = angle_differences(angles, label.angles_deg)
    values = {name: float(error) for name, error in zip(_AXES, errors, strict=True)}
    values |= {f"{name}_true": float(angle) for name, angle in zip(_AXES, label.angles_deg, strict=True)}
    values |= {"mae": float(errors.mean()), "geodesic": geodesic_deg(rotation, label.rotation)}
    if found.covariance is not None:
        values |= calibration_values(found.rotation_ray, label.rotation_ray, found.covariance)
    return Sample(label.name, label.group, values, {"group": label.group})


def _mixed_up(labels: Sequence[PoseLabel], rotations: dict[str, np.ndarray]) -> str:
    told = [label for label in labels if label.name in rotations]
    return mixed_up_convention(
        [label.angles_deg for label in told],
        [rotations[label.name] for label in told],
        labels[0].convention,
        "Check the data, or for a table name the convention with --convention",
    )


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
    rows.append(_profiles(samples, missed, 2 if layout == "biwi" else 0))
    columns: tuple[str, ...] = ("range", "MAE", *_AXES, "geodesic", "samples", "failed")
    if layout == "biwi":
        columns = (*columns, "paper: SynHead", "paper: synthetic")
    return Table(
        "By range of the true angles, degrees",
        columns,
        tuple(rows),
        "Y90P10R10: absolute yaw up to 90, pitch and roll up to 10 degrees, and so on; profiles: 60 degrees of yaw or more.",
    )


def _profiles(samples: Sequence[Sample], missed: Sequence[np.ndarray], n_papers: int) -> tuple[Cell, ...]:
    taken = [sample for sample in samples if abs(sample.values["yaw_true"]) >= _PROFILE_DEG]
    n_failed = sum(bool(abs(angles[0]) >= _PROFILE_DEG) for angles in missed)
    means = [float(np.mean([s.values[k] for s in taken])) if taken else None for k in ("mae", *_AXES, "geodesic")]
    return ("profiles", *means, len(taken), n_failed, *[None] * n_papers)


def _calibration(samples: Sequence[Sample]) -> tuple[Table, ...]:
    told = [sample for sample in samples if "chi2" in sample.values]
    if not told:
        return ()
    columns = [np.array([sample.values[key] for sample in told]) for key in ("sigma", "geodesic", "chi2")]
    return (
        Table(
            "Stated against true uncertainty",
            ("samples", "stated, degrees", "true, degrees", "chi2 / 3", "in 68 %", "in 95 %", "number"),
            tuple(calibration_rows(*columns)),
            "Root mean square geodesic error as stated and as found; chi2 / 3 is 1, and the shares are 0.68 and 0.95, if the stated "
            "covariances are true.",
        ),
    )


def _published(samples: Sequence[Sample], layout: str) -> tuple[Table, ...]:
    own = [float(np.mean([s.values[k] for s in samples])) if samples else None for k in ("mae", *_AXES)]
    rows: list[tuple[Cell, ...]] = [*published.POSE_MAE[layout], (f"ours, {len(samples)} samples", *own)]
    tables = [
        Table(
            "Published figures beside ours, degrees",
            ("method", "MAE", *_AXES),
            tuple(rows),
            "Published figures are over whole data sets; papers differ in the frames that their detectors leave out.",
        )
    ]
    if layout == "biwi":
        tables.append(
            Table(
                "Backgrounds of the training pictures, degrees",
                ("background", "MAE", *_AXES),
                published.BIWI_BACKGROUNDS,
                "Of the head pose paper: FSA-Net trained on its synthetic faces before these.",
            )
        )
    return tuple(tables)


def _figures(samples: Sequence[Sample], n_failed: int) -> tuple[Figure, ...]:
    if not samples:
        return ()
    curves = {name: ([s.values[name] for s in samples], n_failed) for name in (*_AXES, "geodesic")}
    title = "Cumulative error; failures never arrive"
    return (Figure("curve", title, curves_png(curves, "absolute error, degrees", _LIMIT_DEG)),)


def _notes(labels: Sequence[PoseLabel], layout: str) -> tuple[str, ...]:
    notes = [
        "Labels are against the camera's axis. Heads are compared with them as they stand; methods that tell the rotation against the ray "
        "to the head alone are turned by the place of the head that the labels tell, so that an unknown focal length does not count.",
        f"Angles are compared in the data set's convention ({labels[0].convention}, see recon/datasets/pose_conventions.py); the "
        "geodesic error is the angle of the rotation between both and needs no convention.",
    ]
    if layout == "c3i":
        notes.append(
            "C3I-SynFace: a head at zero angles is taken to look along the camera's axis back at it; the published text does "
            "not state the sign map to BIWI."
        )
    if layout == "points68":
        notes.append(
            "The truth is the rigid fit of the mean head to the 51 inner points that expressions hardly move, under weak perspective: people "
            "whose shapes are not the mean's are off by some degrees in pitch."
        )
    if layout == "biwi":
        notes.append(
            "BIWI: papers drop different frames and use different Euler orders, so figures compare only roughly."
        )
    return tuple(notes)
