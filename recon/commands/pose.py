"""``recon pose``: photos and videos to head poses."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.photo_batch import (
    BatchStopped,
    PhotoBatch,
    PhotoJob,
    Row,
    carry_out,
    outcome_text,
    with_progress,
)
from recon.commands.pose_video import VideoWork, check_videos_can_be_read, split_videos
from recon.commands.reconstruct import collect_pictures
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.faults import UsageError
from recon.io.fingerprint import code_hash
from recon.io.names import printable
from recon.io.output_folder import OutputFolder

if TYPE_CHECKING:
    from recon.detection.face import Face
    from recon.face_pose import FacePose
    from recon.inference.estimate_poses import PoseOptions
    from recon.inference.head_pose import PoseEstimator
    from recon.io.image import Photo

EXAMPLES = """examples:
  recon pose photo.jpg -o poses
  recon pose holiday/ -o poses --faces all --format json,csv
  recon pose photo.jpg -o poses --method fit --quality best
  recon pose photo.jpg -o poses --method sixd --checkpoint runs/pose_sixd/version_0/best.safetensors
  recon pose film.mp4 -o poses --faces all --overlay
"""
# Written out, because importing them takes a second that no other command should wait for.
_METHODS = ("landmarks", "fit", "sixd", "fsanet", "hopenet")
_FORMATS = ("json", "csv")
TABLE = "poses.csv"


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``pose`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "pose",
        help="photos and videos to head poses",
        description="Tell how the heads in photos and videos are turned: yaw, pitch, roll and the rotation, against the camera's axis "
        f"and against the ray to the head. Each face of a photo gets a folder with pose.json and axes.png; {TABLE} has a line for every "
        f"face. Each video gets a folder whose {TABLE} has a line for every frame and person.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER_OR_VIDEO")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default=_METHODS[0],
        help="landmarks: in closed form; fit: a fitted head, slower; the others: a trained network [landmarks]",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="of the network, .safetensors or .onnx [the package's, for sixd and fsanet]",
    )
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default", help="of --method fit")
    parser.add_argument("--format", default="json", metavar="LIST", help="files of each face: json, csv [json]")
    parser.add_argument(
        "--faces",
        choices=("all", "largest"),
        default="largest",
        help="which faces of a photo, or people of a video: all, or one at a time [largest]",
    )
    parser.add_argument("--overlay", action="store_true", help="also write each video with the axes drawn")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument("--overwrite", action="store_true", help="make finished faces again, and those made otherwise")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a photo failed.

    Raises:
        UsageError: nothing to do, options that do not go together, a network without weights, or a table of the user's in the
            way; no photo was read.
        OutputError: the folder cannot be written to.
        DetectorUnavailable: the detector's package or networks are missing.
        KeyboardInterrupt: with a message of what is kept.
    """
    formats = _formats(arguments.format)
    videos, others = split_videos(arguments.photos)
    jobs = [PhotoJob(path.stem, path) for path in collect_pictures(others)] if others else []
    if videos:
        check_videos_can_be_read()
    _check_table(arguments.out / TABLE)
    options = _options(arguments)
    with _opened(options) as (estimator, facts):
        decided = {**facts, "faces": arguments.faces, "code": code_hash()}
        return _carried_out(arguments, _Work(estimator, options, formats, decided), jobs, videos)


@contextlib.contextmanager
def _opened(options: PoseOptions) -> Iterator[tuple[PoseEstimator, dict[str, Any]]]:
    """A method, ready for photos, and what decides its results."""
    from recon.inference.estimate_poses import open_pose_estimator, pose_facts
    from recon.networks.network_file import CheckpointError
    from recon.networks.onnx_file import OnnxError

    with contextlib.ExitStack() as stack:
        try:
            estimator = stack.enter_context(open_pose_estimator(options))
            facts = pose_facts(options)
        except (CheckpointError, OnnxError) as error:
            raise UsageError(str(error)) from error
        yield estimator, facts


@dataclasses.dataclass(frozen=True)
class _Work:
    """How poses are found and written."""

    estimator: PoseEstimator
    options: PoseOptions
    formats: tuple[str, ...]
    facts: dict[str, Any]


def _carried_out(arguments: argparse.Namespace, work: _Work, jobs: list[PhotoJob], videos: list[Path]) -> int:
    """The photos, then the videos; however it ends, the rows of what was done are printed."""
    output = OutputFolder(arguments.out)
    rows: list[Row] = []
    try:
        code = _photos(arguments, work, output, jobs, rows) if jobs else 0
        return max(code, _videos(arguments, work, output, videos, rows)) if videos else code
    finally:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n" if arguments.as_json else rows_text(rows))
        output.close()


def _photos(
    arguments: argparse.Namespace, work: _Work, output: OutputFolder, jobs: list[PhotoJob], rows: list[Row]
) -> int:
    facts = {**work.facts, "format": sorted(work.formats)}
    batch = PhotoBatch(_PoseWork(work.estimator, work.formats), output, facts, arguments.faces, arguments.overwrite)

    def report(made: list[Row]) -> None:
        _write_table(arguments.out, made)
        rows.extend(made)

    kept = f"finished faces are kept in {printable(arguments.out)}"
    return carry_out(batch, lambda: with_progress(batch, jobs), report, kept)


def _videos(
    arguments: argparse.Namespace, work: _Work, output: OutputFolder, videos: list[Path], rows: list[Row]
) -> int:
    made: list[Row] = []
    everybody = arguments.faces == "all"
    video_work = VideoWork(
        work.estimator, work.options, output, work.facts, everybody, arguments.overlay, arguments.overwrite
    )
    try:
        video_work.run(videos, made)
    except BatchStopped as error:
        sys.stderr.write(f"recon: stopped: {error}\n")
    finally:
        rows.extend(made)
    return int(len(made) < len(videos) or any(row["status"] in ("failed", "refused") for row in made))


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in formats if name not in _FORMATS]
    if unknown or not formats:
        found = repr(unknown[0]) if unknown else "none"
        raise UsageError(f"unknown pose format {found}; known: {', '.join(_FORMATS)}")
    return formats


def _options(arguments: argparse.Namespace) -> PoseOptions:
    from recon.inference.estimate_poses import PoseOptions

    if arguments.checkpoint is not None and not arguments.checkpoint.is_file():
        raise UsageError(f"no such checkpoint: {printable(arguments.checkpoint)}")
    try:
        return PoseOptions(arguments.method, arguments.checkpoint, arguments.detector, arguments.quality)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_table(path: Path) -> None:
    """Refuse to replace a file that is no table of an earlier run."""
    from recon.export.pose_files import CSV_COLUMNS

    if not path.exists():
        return
    try:
        with open(path, encoding="utf-8") as file:
            ours = file.readline().rstrip("\n") == ",".join(CSV_COLUMNS)
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise UsageError(f"{printable(path)} was not written by recon pose; move it away, or choose another folder")


@dataclasses.dataclass(frozen=True)
class _Made:
    photo: Photo
    pose: FacePose


class _PoseWork:
    """Poses of faces, as a batch makes them."""

    kind = "pose"

    def __init__(self, estimator: PoseEstimator, formats: tuple[str, ...]) -> None:
        self._estimator, self._formats = estimator, formats

    def detect(self, photo: Photo) -> list[Face]:
        return self._estimator.detect(photo)

    def make(self, photo: Photo, face: Face) -> _Made:
        return _Made(photo, self._estimator(photo, face))

    def save(self, result: _Made, folder: Path) -> None:
        from recon import export
        from recon.export.pose_files import pose_values, table_line, table_text, write_pose_json
        from recon.io.png import encode_png
        from recon.visualize.pose_axes import pose_axes

        photo, pose = result.photo, result.pose
        export.write_file(folder / "axes.png", encode_png(pose_axes(photo.pixels, [pose])))
        # Always: the table of a later run takes finished faces from it.
        write_pose_json(folder / "pose.json", pose, photo)
        if "csv" in self._formats:
            line = table_line(Path(photo.source).stem, "done", pose_values(pose, photo))
            export.write_file(folder / "pose.csv", table_text([line]).encode())

    def row(self, name: str, result: _Made) -> Row:
        from recon.export.pose_files import pose_values

        values = pose_values(result.pose, result.photo)
        return {"name": printable(name), "status": "done", **_told(values)}


def _told(values: dict[str, Any]) -> Row:
    keys = ("method", "face", "ray", "axis", "focal_px", "focal_known", "sigma_deg")
    return {key: values[key] for key in keys}


def _write_table(out: Path, rows: list[Row]) -> None:
    """One line a face, those of earlier runs from their files."""
    from recon.export.pose_files import PoseFileError, read_pose_json, table_line, table_text
    from recon.io.files import write_file

    lines: list[dict[str, Any]] = []
    for row in rows:
        line = {"name": row["name"], "status": row["status"], "reason": row.get("reason", "")}
        if row["status"] in ("done", "kept"):
            try:
                line = table_line(row["name"], row["status"], read_pose_json(out / row["name"] / "pose.json"))
            except (PoseFileError, OSError) as error:
                line["reason"] = printable(str(error))
        lines.append(line)
    if lines:
        write_file(out / TABLE, table_text(lines).encode(), overwrite=True)


def rows_text(rows: list[Row]) -> str:
    """The table for a terminal: angles in degrees, against the ray."""
    width = max((len(row["name"]) for row in rows), default=4)
    lines = [f"{'face':{width}}  status     yaw  pitch   roll  +-  (degrees, against the ray to the head)"]
    for row in rows:
        if "ray" not in row:
            lines.append(f"{row['name']:{width}}  {row['status']:7} {row.get('summary') or outcome_text(row)}")
            continue
        ray, sigma = row["ray"], row["sigma_deg"]
        spread = "-" if sigma is None else f"{sum(value * value for value in sigma) ** 0.5:.1f}"
        lines.append(
            f"{row['name']:{width}}  {row['status']:7} {ray['yaw']:6.1f} {ray['pitch']:6.1f} {ray['roll']:6.1f}  {spread}"
        )
    return "\n".join(lines) + "\n"
