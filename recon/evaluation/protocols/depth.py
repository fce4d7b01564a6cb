"""Protocol ``depth``: predicted against true depth maps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from recon.evaluation.depth_folder import (
    DepthItem,
    DepthSample,
    depth_file,
    face_mask,
    find_depth,
    read_depth_map,
)
from recon.evaluation.depth_methods import DepthCase, DepthMethod
from recon.evaluation.journal import Journal
from recon.evaluation.metrics.depth import ALIGNMENTS, DELTA_POWERS, depth_errors, grey_errors
from recon.evaluation.outcome import Outcome, failed, left_out, pack, unpack
from recon.evaluation.predict import Predictor
from recon.evaluation.reports import published_depth
from recon.evaluation.reports.figures import labelled, sheet_png
from recon.evaluation.reports.heatmap import colour_of
from recon.evaluation.reports.result import Cell, Evaluation, Figure, Metric, Sample, Table
from recon.evaluation.run import Run, run_facts
from recon.io.names import printable

_MEASURES = (
    "abs_rel",
    "sq_rel",
    "mae",
    "rmse",
    "rmse_log",
    "rmse_log_printed",
    "si_rmse",
    "nrmse",
    "r2",
    *DELTA_POWERS,
)
_UNITS = {"sq_rel": "mm", "mae": "mm", "rmse": "mm"}
_KEYS = {"none": "raw", "median": "median", "scale": "scaled", "scale and shift": "affine"}
_PARTS = ("face", "whole")
_GREY_ALIGNMENTS = ("none", "median")
_KHAN_MEASURES = ("abs_rel", "sq_rel", "rmse", "nrmse", "r2", "rmse_log", "delta_1", "delta_2", "delta_3")
_N_TILES = 12
_TILE_PX = 180
_HEAT_LIMIT_MM = 15.0


def _metrics() -> tuple[Metric, ...]:
    found = []
    for part in _PARTS:
        for alignment in ALIGNMENTS:
            for name in ("mae", "abs_rel", "rmse", "rmse_log", "delta_1/4"):
                title = f"{name}, {part}, alignment: {alignment}"
                digits = 2 if name in _UNITS else 4
                key = f"{part}_{_KEYS[alignment]}_{name}"
                found.append(Metric(key, title, _UNITS.get(name, ""), not name.startswith("delta"), digits))
    return tuple(found)


def evaluate_depth(
    folder: Path,
    source: Predictor | DepthMethod | Path,
    focal_px: float | None = None,
    layout: str = "pairs",
    progress: Callable[[str], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Measure depth maps.

    Args:
        folder: see :mod:`recon.evaluation.depth_folder`.
        source: makes the heads whose depth is measured, or finds depth itself, or a folder with ``NAME_depth.npy|png`` of another
            method.
        focal_px: focal length of the photos in pixels; otherwise what their EXIF data say, or the default.
        layout: one of :data:`recon.evaluation.depth_folder.LAYOUTS`.
        progress: is told the name of each picture.
        journal: keeps finished pictures, and has those of a run that was interrupted.

    Raises:
        ValueError: an unknown layout.
        DepthDataError: nothing to measure.
    """
    items, left = find_depth(folder, layout)
    if isinstance(source, Predictor):
        method, weights, facts = source.method, source.weights, source.facts()
    elif isinstance(source, DepthMethod):
        method, weights, facts = source.description, source.weights, source.facts()
    else:
        method, weights = f"depth maps in {printable(source.name)}", "unknown"
        facts = {"method": method}
    run = Run(run_facts("depth", facts, layout=layout, focal_px=focal_px), len(items), journal, left)
    tiles: list[np.ndarray] = []
    for item in items:
        progress(printable(item.name))
        other = depth_file(source, item.name) if isinstance(source, Path) else None
        wanted = len(tiles) < _N_TILES
        found = run.outcome(
            item.name,
            item.files if other is None else (*item.files, other),
            lambda item=item, wanted=wanted: _outcome(item, source, focal_px, wanted),  # type: ignore[misc]
            wanted=("tile",) if wanted else (),
        )
        if found.sample is not None and wanted:
            tiles.append(unpack(found.kept["tile"]))
    samples = run.samples
    used = [path for item in items for path in item.files]
    title = "Difference from the truth after removing the median offset: 0 blue, 15 mm red, unknown grey"
    return Evaluation(
        protocol="depth",
        title="Depth",
        provenance=run.provenance(method, weights, folder, used),
        metrics=_metrics(),
        samples=tuple(samples),
        failures=tuple(run.failures),
        dropped=tuple(run.dropped),
        tables=(_all_measures(samples), _khan(samples), _pini(samples)),
        figures=(Figure("differences", title, sheet_png(tiles, 4)),) if tiles else (),
        notes=(
            "Means are over the pixels that count only: no pixel outside the mask counts as right.",
            "face: NAME_mask.png where there is one, otherwise true depth below 50 cm (the papers' facial crop), otherwise not "
            "measured. whole: every pixel with a true depth that the prediction covers; 'covered' says how many those are.",
            "rmse_log has the root; rmse_log_printed is the form the papers print, without it. Lengths are in mm.",
        ),
    )


def _outcome(
    item: DepthItem, source: Predictor | DepthMethod | Path, focal_px: float | None, with_tile: bool
) -> Outcome:
    """Read and measure one picture."""
    try:
        truth = item.load()
    # Whatever a damaged file makes its reader raise, it is one picture.
    except Exception as error:
        return left_out(item.name, error)
    face = face_mask(truth)
    found = _predicted(item.name, truth, source, focal_px)
    if isinstance(found, str):
        return failed(item.name, found)
    values = _measure(found, truth.depth_mm, face)
    if not values:
        return failed(item.name, "the prediction and the truth share no pixel")
    label = printable(item.name).rsplit("/")[-1]
    kept = {"tile": pack(_tile(label, found, truth.depth_mm, face))} if with_tile else {}
    return Outcome(Sample(item.name, item.name, values), kept=kept)


def _predicted(
    name: str, truth: DepthSample, source: Predictor | DepthMethod | Path, focal_px: float | None
) -> Float[np.ndarray, "h w"] | str:
    """The predicted depth, or why there is none; raises what reading and predicting raise."""
    if isinstance(source, Path):
        path = depth_file(source, name)
        if path is None:
            return f"no {name}_depth.npy or .png in {source.name}"
        found = read_depth_map(path)
    else:
        photo = truth.photo if focal_px is None else dataclasses.replace(truth.photo, focal_px=focal_px)
        if isinstance(source, Predictor):
            found = source.predict(photo).depth_map().astype(np.float64)
        else:
            case = DepthCase(photo, truth.depth_mm, face_mask(truth), truth.normals, truth.camera)
            found = source.find(case).depth_mm.astype(np.float64)
    if found.shape != truth.depth_mm.shape:
        return f"the predicted depth is {found.shape}, the true one {truth.depth_mm.shape}"
    if isinstance(source, Path):
        factor = unit_factor(found, truth.depth_mm)
        if factor != 1.0:
            return (
                f"the predicted depth is {factor:g} times the true one: the files are in other units; write both in mm"
            )
    return found


def unit_factor(found: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"]) -> float:
    """A power of ten by which two depth maps differ, to within a quarter of them: they are in other units. Otherwise 1."""
    both = np.isfinite(found) & np.isfinite(true) & (found > 0.0)
    if not both.any():
        return 1.0
    power = float(np.median(np.log10(found[both] / true[both])))
    return 10.0 ** round(power) if abs(power - round(power)) < math.log10(1.25) else 1.0


def _measure(
    found: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"], face: Bool[np.ndarray, "h w"]
) -> dict[str, float]:
    both = np.isfinite(found) & np.isfinite(true)
    values: dict[str, float] = {}
    for part, mask in (("face", face), ("whole", np.isfinite(true))):
        if not (both & mask).any():
            continue
        values[f"{part}_covered"] = float((both & mask).sum() / mask.sum())
        for alignment in ALIGNMENTS:
            errors = depth_errors(found, true, both & mask, alignment).values
            values |= {f"{part}_{_KEYS[alignment]}_{name}": value for name, value in errors.items()}
        if part == "face":
            for alignment in _GREY_ALIGNMENTS:
                errors = grey_errors(found, true, both & mask, alignment).values
                values |= {f"grey_{_KEYS[alignment]}_{name}": errors[name] for name in published_depth.PINI}
    return values


def _mean(samples: Sequence[Sample], key: str) -> float | None:
    taken = [s.values[key] for s in samples if key in s.values and math.isfinite(s.values[key])]
    return float(np.mean(taken)) if taken else None


def _all_measures(samples: Sequence[Sample]) -> Table:
    columns = [(part, alignment) for part in _PARTS for alignment in ALIGNMENTS]
    rows: list[tuple[Cell, ...]] = [
        (name, *(_mean(samples, f"{part}_{_KEYS[alignment]}_{name}") for part, alignment in columns))
        for name in _MEASURES
    ]
    rows.append(("covered", *(_mean(samples, f"{part}_covered") for part, _ in columns)))
    return Table(
        "All measures, mean over pictures",
        ("measure", *(f"{part}, {alignment}" for part, alignment in columns)),
        tuple(rows),
        "Columns: part of the picture, and how the prediction was aligned to the truth first.",
        digits=4,
    )


def _khan(samples: Sequence[Sample]) -> Table:
    rows: list[tuple[Cell, ...]] = [*published_depth.KHAN]
    for part in _PARTS:
        for alignment in ("none", "median"):
            own: list[Cell] = []
            for name in _KHAN_MEASURES:
                found = _mean(samples, f"{part}_{_KEYS[alignment]}_{name}")
                own.append(None if found is None else found * published_depth.METRES.get(name, 1.0))
            rows.append((f"ours, {part}, alignment: {alignment}", *own))
    return Table(
        "The third depth paper's figures beside ours (SqRel and RMSE in m); other data",
        ("method", *published_depth.KHAN_COLUMNS),
        tuple(rows),
        "Published figures are of nets trained and tested on one synthetic set; their facial crop counts everything outside "
        "as right, and their unit is not certain. Their R2 and the range of their NRMSE are not those of any definition; ours "
        "divides by the range of the true depth. Read them as a scale, not as a ranking.",
        digits=4,
    )


def _pini(samples: Sequence[Sample]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, *printed, *(_mean(samples, f"grey_{_KEYS[alignment]}_{name}") for alignment in _GREY_ALIGNMENTS))
        for name, printed in published_depth.PINI.items()
    ]
    return Table(
        "Figures of Pini et al. 2018 beside ours, in grey values of 0 to 255; other data",
        ("measure", *published_depth.PINI_METHODS, *(f"ours, face, {alignment}" for alignment in _GREY_ALIGNMENTS)),
        tuple(rows),
        "mae is their L1, l2 the norm over 96 x 96 pixels. They do not say how depth becomes grey; ours spans 320 mm around "
        "the face's mean depth and counts pixels of the face only.",
        digits=4,
    )


def _tile(
    name: str, found: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"], face: Bool[np.ndarray, "h w"]
) -> np.ndarray:
    from PIL import Image

    gap = found - true
    inside = np.isfinite(gap) & (face if face.any() else True)
    offset = float(np.median(gap[inside])) if inside.any() else 0.0
    colours = colour_of(np.where(inside, np.abs(gap - offset), np.nan).ravel(), _HEAT_LIMIT_MM).reshape(*gap.shape, 3)
    picture = Image.fromarray((255.0 * colours).round().astype(np.uint8))
    picture.thumbnail((_TILE_PX, _TILE_PX))
    sheet = Image.new("RGB", (_TILE_PX, _TILE_PX), "white")
    sheet.paste(picture, (0, 0))
    return labelled(np.asarray(sheet), f"{name}, offset {offset:.0f} mm")
