"""Protocol ``synthetic``: the standing benchmark that needs no data: held-out synthetic faces with exact truth."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from bfm.model import MorphableModel
from recon.alignment import fit_similarity
from recon.color import encode_srgb
from recon.datasets.pose_conventions import matrix_to_angles
from recon.evaluation.dense import DensePoints
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.depth import depth_errors
from recon.evaluation.metrics.nme import YAW_BINS_DEG, box_size, normalised_error, without_depth_offset, yaw_bin
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.evaluation.metrics.skin_tone import monk_tone, skin_lab
from recon.evaluation.outcome import Outcome, failed, left_out, pack, unpack
from recon.evaluation.predict import Predictor
from recon.evaluation.protocols.alignment import points_px
from recon.evaluation.protocols.synthetic_groups import group_table, person_labels
from recon.evaluation.reports.figures import curves_png, landmark_tile, sheet_png
from recon.evaluation.reports.provenance import provenance
from recon.evaluation.reports.result import Cell, Evaluation, Figure, Metric, Sample, Table
from recon.evaluation.run import Run, run_facts
from recon.io.faults import UsageError
from recon.io.image import Photo
from recon.lighting import irradiance
from recon.reconstruction import Reconstruction
from recon.synthesis import FaceBatch, FaceSampler, SynthesisConfig, SynthesisConfigError

SEED = 20_260_731
"""Kept for this benchmark: training must not use it."""
N_SAMPLES = 500
SIZE = (256, 256)
CONFIG = SynthesisConfig(
    framing="free", yaw_deg=75.0, pitch_deg=40.0, roll_deg=35.0, distance_mm=(400.0, 1500.0), head_share=(0.3, 0.6)
)

METRICS = (
    Metric("nme2d", "NME, 68 points, 2D", "%"),
    Metric("nme3d", "NME, 68 points, 3D", "%"),
    Metric("nme_dense", "NME, 520 dense points, 2D", "%"),
    Metric("pose_mae", "pose, mean absolute error", "degrees"),
    Metric("geodesic", "pose, geodesic error", "degrees"),
    Metric("depth_raw", "depth of the face, mean absolute error", "mm"),
    Metric("depth_scaled", "depth of the face after scale, mean absolute error", "mm"),
    Metric("vertex", "face with expression, rigid, mean vertex error", "mm"),
    Metric("identity", "neutral face, rigid, mean vertex error", "mm"),
    Metric("mean_identity", "mean head: neutral face, rigid, mean vertex error", "mm"),
    Metric("slope", "identity recovery slope (1 is right)", "", None),
    Metric("expression", "expression weights, mean absolute error", "", digits=3),
    Metric("albedo", "albedo of the face, mean absolute error of sRGB", "", digits=3),
    Metric("lightness", "albedo of the face, CIELAB lightness less the true one", "", None),
    Metric("light", "light on a sphere after best scale, relative error", "", digits=3),
)
_N_TILES = 16


@dataclasses.dataclass(frozen=True, eq=False)
class _Truth:
    """What measuring needs of the model, once."""

    model: MorphableModel
    face: np.ndarray
    mean: Float[np.ndarray, "v 3"]
    dense: DensePoints

    @classmethod
    def of(cls, model: MorphableModel) -> _Truth:
        face = model.region("face").numpy() if "face" in model.region_names else np.ones(model.n_vertices, dtype=bool)
        return cls(model, face, model.shape()[0].double().numpy(), DensePoints(model))


def evaluate_synthetic(
    predictor: Predictor,
    n_samples: int = N_SAMPLES,
    seed: int = SEED,
    config: SynthesisConfig = CONFIG,
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure a predictor on synthetic photos of its own face model.

    Args:
        predictor: makes the heads; it is told the focal length, as EXIF data would.
        n_samples: the first so many of the benchmark.
        seed: of the samples.
        config: how the photos look.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        UsageError: no samples, or a model that cannot be synthesised.
    """
    if n_samples < 1:
        raise UsageError(f"the benchmark needs at least one sample, got {n_samples}")
    try:
        sampler = FaceSampler(predictor.model, config, seed, SIZE)
    except SynthesisConfigError as error:
        raise UsageError(str(error)) from error
    truth = _Truth.of(predictor.model)
    settings = hashlib.sha256(repr((config, SIZE, seed, n_samples)).encode()).hexdigest()[:16]
    # The number of samples is left out: the first samples of a longer run are those of a shorter one.
    faces_key = hashlib.sha256(repr((config, SIZE, seed)).encode()).hexdigest()[:16]
    run = Run(run_facts("synthetic", predictor.facts(), faces=faces_key), n_samples, journal)
    failed_yaws: list[float] = []
    failed_people: list[Mapping[str, str]] = []
    worst: list[tuple[float, int, Outcome]] = []
    for number in range(n_samples):
        name = _name(number)
        progress(name)
        found = run.outcome(name, (), lambda number=number: _outcome(number, sampler, truth, predictor))  # type: ignore[misc]
        if found.failure is not None and "yaw" in found.kept:
            failed_yaws.append(found.kept["yaw"])
            failed_people.append(found.kept["person"])
        if found.sample is not None:
            worst = sorted([*worst, (found.sample.values["nme2d"], number, found)], key=lambda one: -one[0])[:_N_TILES]
    samples, failures = run.samples, run.failures
    data = f"{n_samples} synthetic faces, seed {seed}"
    origin = provenance(predictor.method, predictor.weights, data, (f"settings {settings}", 0), run.seconds)
    tiles = [_tile(sampler, number, found) for _, number, found in worst]
    return Evaluation(
        protocol="synthetic",
        title="Synthetic benchmark",
        provenance=origin,
        metrics=METRICS,
        samples=tuple(samples),
        failures=tuple(failures),
        dropped=tuple(run.dropped),
        tables=(_bins(samples, failed_yaws), group_table(samples, failed_people)),
        figures=_figures(samples, len(failures), tiles),
        notes=(
            f"Faces are drawn by recon.synthesis with seed {seed}, {SIZE[0]} x {SIZE[1]} px, yaw up to {config.yaw_deg:.0f}, "
            f"pitch {config.pitch_deg:.0f}, roll {config.roll_deg:.0f} degrees, everything on. The focal length is told.",
            "Faces come from the same face model that is fitted: identities are easier than real ones.",
            "Vertex errors are means over the region 'face' after a rigid motion without scale. Albedo and light are only known "
            "together up to a factor, so the light is compared after its best scale.",
        ),
    )


def _name(number: int) -> str:
    return f"{number:04d}"


def _face(sampler: FaceSampler, number: int) -> FaceBatch:
    with torch.no_grad():
        return sampler[number]


def _outcome(number: int, sampler: FaceSampler, truth: _Truth, predictor: Predictor) -> Outcome:
    """Render and measure one face."""
    name = _name(number)
    try:
        face = _face(sampler, number)
        yaw_deg = float(torch.rad2deg(face.angles_rad[0, 0]))
        true_lab = _face_lab(truth, face.albedo.cpu())
        person = person_labels(face.attributes[0].tolist(), monk_tone(true_lab))
    # One face that cannot be rendered is one sample.
    except Exception as error:
        return left_out(name, error)
    try:
        head = predictor.predict(_photo(face, name), _box(face))
        return _measure(name, face, head, truth, yaw_deg, person, float(true_lab[0]))
    # Whatever a predictor raises; the yaw is known nevertheless.
    except Exception as error:
        return failed(name, error, yaw=yaw_deg, person=person)


def _tile(sampler: FaceSampler, number: int, outcome: Outcome) -> np.ndarray:
    """The face is rendered again: it is always the same."""
    assert outcome.sample is not None
    pixels = _photo(_face(sampler, number), _name(number)).pixels
    found, true = unpack(outcome.kept["found"]), unpack(outcome.kept["true"])
    return landmark_tile(pixels, found, true, f"{_name(number)}  {outcome.sample.values['nme2d']:.2f} %", 200)


def _photo(face: FaceBatch, name: str) -> Photo:
    pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return Photo(pixels, focal_px=float(face.intrinsics[0, 0, 0]), source=f"synthetic {name}")


def _box(face: FaceBatch) -> Float[np.ndarray, " 4"]:
    points = face.landmarks68_px[0].double().cpu().numpy()
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _measure(
    name: str,
    face: FaceBatch,
    head: Reconstruction,
    truth: _Truth,
    yaw_deg: float,
    person: Mapping[str, str],
    true_lightness: float,
) -> Outcome:
    true_cam = face.landmarks68_cam[0].double().cpu().numpy()
    px_per_mm = float(face.intrinsics[0, 0, 0]) / float(-true_cam[:, 2].mean())
    true = np.concatenate([face.landmarks68_px[0].double().cpu().numpy(), px_per_mm * true_cam[:, 2:]], axis=1)
    found = points_px(head)
    true_rotation, rotation = face.rotation[0].double().cpu().numpy(), head.camera.rotation[0].double().numpy()
    nme2d = normalised_error(found[:, :2], true[:, :2])
    values = {
        "nme2d": nme2d,
        "nme3d": normalised_error(without_depth_offset(found, true), true),
        "nme_dense": truth.dense.error(head, "520", face.landmarks520_px[0].double().cpu().numpy(), box_size(true)),
        "pose_mae": float(angle_differences(matrix_to_angles(rotation), matrix_to_angles(true_rotation)).mean()),
        "geodesic": geodesic_deg(rotation, true_rotation),
        "yaw_true": yaw_deg,
        **_depths(face, head),
        **_shapes(face, head, truth),
        "expression": float((head.expression[0] - face.expression[0].cpu()).abs().mean()),
        "albedo": _albedo_error(face, head, truth),
        "lightness": float(_face_lab(truth, head.albedo_coefficients)[0]) - true_lightness,
        "light": light_error(head.lighting[0], face.lighting[0].cpu()),
    }
    number = yaw_bin(yaw_deg)
    labels = {"yaw": "beyond" if number is None else f"{YAW_BINS_DEG[number][0]:.0f}", **person}
    kept = {"found": pack(found[:, :2]), "true": pack(true[:, :2])}
    return Outcome(Sample(name, str(int(face.identity_number[0])), values, labels), kept=kept)


def _depths(face: FaceBatch, head: Reconstruction) -> dict[str, float]:
    true = face.depth_mm[0, 0].double().cpu().numpy()
    found = head.depth_map().astype(np.float64)
    mask = face.face_mask[0, 0].cpu().numpy() & np.isfinite(found) & (true > 0.0)
    if not mask.any():
        return {"depth_raw": math.nan, "depth_scaled": math.nan}
    return {
        "depth_raw": depth_errors(found, true, mask).values["mae"],
        "depth_scaled": depth_errors(found, true, mask, "scale").values["mae"],
    }


def _shapes(face: FaceBatch, head: Reconstruction, truth: _Truth) -> dict[str, float]:
    model = truth.model
    true_identity, true_expression = face.identity.cpu(), face.expression.cpu()

    def error(found: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = found[truth.face], wanted[truth.face]
        placed = fit_similarity(a, b, with_scale=False).apply(a)
        return float(np.linalg.norm(placed - b, axis=1).mean()), placed

    neutral = model.shape(true_identity)[0].double().numpy()
    acting = model.shape(true_identity, true_expression)[0].double().numpy()
    identity, placed = error(model.shape(head.identity)[0].double().numpy(), neutral)
    mean_identity, mean = error(truth.mean, neutral)
    wanted, got = neutral[truth.face] - mean, placed - mean
    return {
        "vertex": error(head.vertices.astype(np.float64), acting)[0],
        "identity": identity,
        "mean_identity": mean_identity,
        "slope": float((got * wanted).sum() / max(float((wanted**2).sum()), 1e-12)),
    }


def _face_lab(truth: _Truth, coefficients: Float[torch.Tensor, "1 k"]) -> Float[np.ndarray, " 3"]:
    albedo = truth.model.albedo(coefficients)[0][torch.as_tensor(truth.face)]
    return skin_lab(encode_srgb(albedo, truth.model.albedo_space).double().numpy())


def _albedo_error(face: FaceBatch, head: Reconstruction, truth: _Truth) -> float:
    model = truth.model
    both = [model.albedo(c)[0][torch.as_tensor(truth.face)] for c in (head.albedo_coefficients, face.albedo.cpu())]
    found, true = (encode_srgb(albedo, model.albedo_space) for albedo in both)
    return float((found - true).abs().mean())


def light_error(found: Float[torch.Tensor, "9 c"], true: Float[torch.Tensor, "9 c"]) -> float:
    """Relative error of the light on the half of a sphere that faces the camera, after the best common factor.

    Root mean square difference of irradiance over its root mean square; 0 for equal light, 1 for no light at all.
    """
    n_normals = 200
    # Fibonacci points, the front half.
    z = 1.0 - (torch.arange(n_normals) + 0.5) / n_normals
    turn = torch.arange(n_normals) * math.pi * (3.0 - math.sqrt(5.0))
    radius = (1.0 - z**2).sqrt()
    normals = torch.stack((radius * turn.cos(), radius * turn.sin(), z), dim=1)
    a, b = irradiance(normals, found.float()), irradiance(normals, true.float())
    scale = (a * b).sum() / (a * a).sum().clamp_min(1e-12)
    return float(((scale * a - b) ** 2).mean().sqrt() / (b**2).mean().sqrt().clamp_min(1e-12))


def _bins(samples: Sequence[Sample], failed_yaws: Sequence[float]) -> Table:
    keys = ("nme2d", "pose_mae", "geodesic", "depth_scaled", "vertex", "identity", "expression")
    titles = {metric.key: metric.title for metric in METRICS}
    failed = [yaw_bin(yaw) for yaw in failed_yaws]
    rows: list[tuple[Cell, ...]] = []
    for number, (low, high) in enumerate(YAW_BINS_DEG):
        taken = [s for s in samples if yaw_bin(s.values["yaw_true"]) == number]
        means = [float(np.nanmean([s.values[k] for s in taken])) if taken else None for k in keys]
        rows.append((f"{low:.0f} to {high:.0f}", *means, len(taken), failed.count(number)))
    return Table("By absolute yaw", ("yaw, degrees", *(titles[k] for k in keys), "samples", "failed"), tuple(rows))


def _figures(samples: Sequence[Sample], n_failed: int, tiles: list[np.ndarray]) -> tuple[Figure, ...]:
    if not samples:
        return ()
    curve = curves_png({"68 points, 2D": ([s.values["nme2d"] for s in samples], n_failed)}, "NME, %", 15.0)
    return (
        Figure("curve", "Cumulative error; failures never arrive", curve),
        Figure("landmarks", "Landmarks, the worst first: true white, found green", sheet_png(tiles, 4)),
    )
