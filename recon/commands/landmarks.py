"""``recon landmarks``: photos to dense landmarks."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.photo_batch import PhotoBatch, PhotoJob, Row, carry_out, outcome_text, with_progress
from recon.commands.reconstruct import collect_pictures
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS, OPEN
from recon.io.faults import UsageError
from recon.io.fingerprint import code_hash, file_hash
from recon.io.names import printable
from recon.io.output_folder import OutputFolder

if TYPE_CHECKING:
    from recon.detection.detect import Detector
    from recon.detection.face import Face
    from recon.detection.landmark_sets import FaceLandmarks
    from recon.inference.landmark_detection import DetectorInfo
    from recon.io.image import Photo

EXAMPLES = """examples:
  recon landmarks photo.jpg -o points
  recon landmarks holiday/ -o points --faces all --set 68 --format json,pts
  recon landmarks photo.jpg -o points --detector mediapipe --format csv
"""
# Written out, because importing them takes a second that no other command should wait for.
_SETS = ("68", "478", "520")
_FORMATS = ("json", "csv", "npy", "pts")
_PTS_SET = "68"


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``landmarks`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "landmarks",
        help="photos to landmarks of faces",
        description="Find the landmarks of the faces in photos, each with its depth, its standard deviation and whether it is "
        "seen, as far as the detector tells. Each face gets a folder with the files and an overlay.png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--set", dest="point_set", choices=(*_SETS, "all"), default="all", help="which points, by their number [all]"
    )
    parser.add_argument("--format", default="json", metavar="LIST", help="files: json, csv, npy, pts [json]")
    parser.add_argument(
        "--faces", choices=("all", "largest"), default="largest", help="which faces of a photo [largest]"
    )
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="landmark network of the open detector [the package's]"
    )
    parser.add_argument("--overwrite", action="store_true", help="make finished faces again, and those made otherwise")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


@dataclasses.dataclass(frozen=True)
class LandmarkOptions:
    """What the command line says.

    Attributes:
        out: folder of the results.
        point_set: a set's name, or ``"all"``.
        formats: of the files.
        faces: ``"all"`` or ``"largest"``.
        detector: its name.
        checkpoint: of the landmark network; None for the package's.
        overwrite: make finished faces again.
        as_json: print the table as JSON.
    """

    out: Path
    point_set: str = "all"
    formats: tuple[str, ...] = ("json",)
    faces: str = "largest"
    detector: str = DEFAULT_DETECTOR
    checkpoint: Path | None = None
    overwrite: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for what can be told without loading anything."""
        unknown = [name for name in self.formats if name not in _FORMATS]
        if unknown or not self.formats:
            found = repr(unknown[0]) if unknown else "none"
            raise UsageError(f"unknown landmark format {found}; known: {', '.join(_FORMATS)}")
        if "pts" in self.formats and self.point_set not in (_PTS_SET, "all"):
            raise UsageError(f".pts files hold the 68 points: --format pts needs --set 68 or all, not {self.point_set}")
        if self.checkpoint is not None and self.detector != OPEN:
            raise UsageError(f"--checkpoint is for --detector open, not {self.detector}")
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise UsageError(f"no such checkpoint: {printable(self.checkpoint)}")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a photo failed.

    Raises:
        UsageError: nothing to do, options that do not go together, or a network or a set that is not there; no photo was
            read.
        OutputError: the folder cannot be written to.
        DetectorUnavailable: the detector's package or networks are missing.
        KeyboardInterrupt: with a message of what is kept.
    """
    formats = tuple(dict.fromkeys(name.strip() for name in arguments.format.split(",") if name.strip()))
    own = {field.name for field in dataclasses.fields(LandmarkOptions)}
    options = LandmarkOptions(formats=formats, **{k: value for k, value in vars(arguments).items() if k in own})
    jobs = [PhotoJob(path.stem, path) for path in collect_pictures(arguments.photos)]
    with _opened(options) as (detector, names, facts):
        output = OutputFolder(options.out)
        try:
            batch = PhotoBatch(
                _LandmarkWork(detector, names, options.formats), output, facts, options.faces, options.overwrite
            )
            return carry_out(
                batch,
                lambda: with_progress(batch, jobs),
                lambda rows: _report(rows, options.as_json),
                f"finished faces are kept in {printable(options.out)}",
            )
        finally:
            output.close()


@contextlib.contextmanager
def _opened(options: LandmarkOptions) -> Iterator[tuple[Detector, tuple[str, ...], dict[str, Any]]]:
    """An opened detector, the sets to write, and what decides the results."""
    from recon.inference.landmark_detection import detector_info
    from recon.networks.network_file import CheckpointError
    from recon.networks.onnx_file import OnnxError

    try:
        found = detector_info(options.detector, options.checkpoint)
    except (CheckpointError, OnnxError) as error:
        raise UsageError(str(error)) from error
    names = _wanted(options, found)
    with found.detector as detector:
        yield (
            detector,
            names,
            {
                "detector": options.detector,
                "network": None if found.network is None else file_hash(found.network),
                "sets": list(names),
                "format": sorted(options.formats),
                "faces": options.faces,
                "code": code_hash(),
            },
        )


def _wanted(options: LandmarkOptions, found: DetectorInfo) -> tuple[str, ...]:
    if options.point_set == "all":
        return tuple(name for name in _SETS if name in found.sets)
    if options.point_set not in found.sets:
        raise UsageError(
            f"the detector {options.detector} gives no {options.point_set} points; it gives: {', '.join(found.sets)}"
        )
    return (options.point_set,)


@dataclasses.dataclass(frozen=True)
class _Made:
    photo: Photo
    landmarks: FaceLandmarks


class _LandmarkWork:
    """Landmarks of faces, as a batch makes them."""

    kind = "landmarks"

    def __init__(self, detector: Detector, names: tuple[str, ...], formats: tuple[str, ...]) -> None:
        self._detector, self._names, self._formats = detector, names, formats

    def detect(self, photo: Photo) -> list[Face]:
        from recon.inference.landmark_detection import faces_with_landmarks

        return faces_with_landmarks(photo, self._detector)

    def make(self, photo: Photo, face: Face) -> _Made:
        from recon.detection.landmark_sets import FaceLandmarks

        return _Made(photo, FaceLandmarks.of(face, photo, self._names))

    def save(self, result: _Made, folder: Path) -> None:
        from recon import export
        from recon.io.png import encode_png
        from recon.visualize.landmark_overlay import landmark_overlay

        landmarks = result.landmarks
        export.write_file(folder / "overlay.png", encode_png(landmark_overlay(result.photo.pixels, landmarks)))
        if "json" in self._formats:
            export.write_landmarks_json(folder / "landmarks.json", landmarks)
        if "csv" in self._formats:
            export.write_landmarks_csv(folder / "landmarks.csv", landmarks)
        if "npy" in self._formats:
            for name, points in landmarks.sets.items():
                export.write_landmarks_npy(folder / f"landmarks_{name}.npy", points)
        if "pts" in self._formats:
            export.write_landmarks_pts(folder / "landmarks_68.pts", landmarks.sets[_PTS_SET].xy_px)

    def row(self, name: str, result: _Made) -> Row:
        return done_row(name, result.landmarks)


def done_row(name: str, landmarks: FaceLandmarks) -> Row:
    """The row of a face whose landmarks were written."""
    box = landmarks.box
    largest = max(landmarks.sets.values(), key=lambda points: len(points.xy_px))
    sigma = None if largest.sigma_px is None else sorted(largest.sigma_px.tolist())[len(largest.sigma_px) // 2]
    return {
        "name": printable(name),
        "status": "done",
        "sets": list(landmarks.sets),
        "box_px": [round(float(side), 1) for side in box],
        "score": round(landmarks.score, 3),
        "visible": None if largest.visible is None else int(largest.seen.sum()),
        "points": len(largest.xy_px),
        "median_sigma_px": None if sigma is None else round(sigma, 2),
    }


def _report(rows: list[Row], as_json: bool) -> None:
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if as_json else rows_text(rows))


def rows_text(rows: list[Row]) -> str:
    """The table for a terminal."""
    width = max((len(row["name"]) for row in rows), default=4)
    lines = [f"{'face':{width}}  status   face px  score  sigma px  points seen"]
    for row in rows:
        if "score" not in row:
            lines.append(f"{row['name']:{width}}  {row['status']:7} {outcome_text(row)}")
            continue
        x0, y0, x1, y1 = row["box_px"]
        size_px = ((x1 - x0) * (y1 - y0)) ** 0.5
        sigma = "-" if row["median_sigma_px"] is None else f"{row['median_sigma_px']:.2f}"
        seen = f"{row['points']}" if row["visible"] is None else f"{row['visible']} of {row['points']}"
        lines.append(
            f"{row['name']:{width}}  {row['status']:7} {size_px:8.0f}  {row['score']:5.2f}  {sigma:>8}  {seen:>11}"
        )
    return "\n".join(lines) + "\n"
