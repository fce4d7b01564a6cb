"""``recon depth``: photos to depth maps, point clouds and meshes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.given_depth import add_depth_options, given_depth
from recon.commands.photo_batch import PhotoBatch, PhotoJob, Row, carry_out, outcome_text, with_progress
from recon.commands.reconstruct import collect_pictures
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.faults import UsageError
from recon.io.fingerprint import code_hash, file_hash
from recon.io.names import printable
from recon.io.output_folder import OutputFolder

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from recon.detection.detect import Detector
    from recon.detection.face import Face
    from recon.inference.depth import DepthEstimator, FaceDepth
    from recon.io.image import Photo
    from recon.reconstructor import Reconstructor

EXAMPLES = """examples:
  recon depth photo.jpg -o depth
  recon depth holiday/ -o depth --faces all --format png,exr
  recon depth photo.jpg -o depth --network best.safetensors --focal-px 3000 --points --mesh
"""
_FORMATS = ("png", "exr", "npy")


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "depth",
        help="photos to depth of faces",
        description="Find the faces in photos and their depth in millimetres by a depth network. Each face gets a folder with "
        "the depth map at the photo's size, a coloured picture of it, normals and the camera.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--network",
        metavar="NAME_OR_FILE",
        help="open, the package's depth network, or a file that train.py or recon export-onnx wrote [open]",
    )
    parser.add_argument(
        "--format", default="png", metavar="LIST", help="files of depth: png (16 bit, 0.1 mm), exr, npy [png]"
    )
    parser.add_argument("--points", action="store_true", help="write a coloured point cloud, points.ply")
    parser.add_argument(
        "--mesh", action="store_true", help="write a closed surface with the photo on it, mesh.glb and mesh.ply"
    )
    parser.add_argument(
        "--beside-fit",
        choices=("fast", "default", "best"),
        metavar="QUALITY",
        help="also fit a head of this quality (seconds a face) and show its depth beside the network's, fit_beside.png",
    )
    parser.add_argument(
        "--focal-px", type=float, metavar="PX", help="focal length of the photos [their EXIF data's, or assumed]"
    )
    add_depth_options(parser)
    parser.add_argument(
        "--faces", choices=("all", "largest"), default="largest", help="which faces of a photo [largest]"
    )
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument("--overwrite", action="store_true", help="make finished faces again, and those made otherwise")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


@dataclasses.dataclass(frozen=True)
class DepthOptions:
    """What the command line says.

    Attributes:
        out: folder of the results.
        network: name or file of the depth network; None for the package's.
        formats: of the depth maps.
        points, mesh: write these, too.
        beside_fit: quality of a fitted head whose depth is shown beside the network's; None for no fit.
        focal_px: of the photos; None for what their files say.
        faces: ``"all"`` or ``"largest"``.
        detector: its name.
        overwrite: make finished faces again.
        as_json: print the table as JSON.
    """

    out: Path
    network: str | None = None
    formats: tuple[str, ...] = ("png",)
    points: bool = False
    mesh: bool = False
    beside_fit: str | None = None
    focal_px: float | None = None
    faces: str = "largest"
    detector: str = DEFAULT_DETECTOR
    overwrite: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for what can be told without loading anything."""
        unknown = [name for name in self.formats if name not in _FORMATS]
        if unknown or not self.formats:
            found = repr(unknown[0]) if unknown else "none"
            raise UsageError(f"unknown depth format {found}; known: {', '.join(_FORMATS)}")
        if self.focal_px is not None and not 0.0 < self.focal_px < float("inf"):
            raise UsageError(f"--focal-px must be a positive number of pixels, got {self.focal_px}")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a photo failed.

    Raises:
        UsageError: nothing to do, options that mean nothing, or a network that is not there; no photo was read.
        OutputError: the folder cannot be written to.
        DetectorUnavailable: the detector's package or networks are missing.
        KeyboardInterrupt: with a message of what is kept.
    """
    formats = tuple(dict.fromkeys(name.strip() for name in arguments.format.split(",") if name.strip()))
    own = {field.name for field in dataclasses.fields(DepthOptions)}
    options = DepthOptions(formats=formats, **{k: value for k, value in vars(arguments).items() if k in own})
    jobs = [PhotoJob(path.stem, path) for path in collect_pictures(arguments.photos)]
    depth = given_depth(arguments, jobs)
    if depth is not None:
        jobs = [dataclasses.replace(jobs[0], depth=depth)]
    with _opened(options) as (work, facts):
        output = OutputFolder(options.out)
        try:
            batch = PhotoBatch(work, output, facts, options.faces, options.overwrite)
            return carry_out(
                batch,
                lambda: with_progress(batch, jobs),
                lambda rows: _report(rows, options.as_json),
                f"finished faces are kept in {printable(options.out)}",
            )
        finally:
            output.close()


@contextlib.contextmanager
def _opened(options: DepthOptions) -> Iterator[tuple[_DepthWork, dict[str, Any]]]:
    """The work with its network and detector opened, and what decides the results."""
    from recon.inference.depth import DepthEstimator
    from recon.inference.landmark_detection import detector_info
    from recon.networks.network_file import CheckpointError
    from recon.networks.onnx_file import OnnxError

    try:
        estimator = DepthEstimator(options.network)
        found = detector_info(options.detector)
    except (CheckpointError, OnnxError) as error:
        raise UsageError(str(error)) from error
    facts = {
        "detector": options.detector,
        "network": file_hash(estimator.path),
        "landmarks": None if found.network is None else file_hash(found.network),
        "format": sorted(options.formats),
        "points": options.points,
        "mesh": options.mesh,
        "beside_fit": options.beside_fit,
        "focal_px": options.focal_px,
        "faces": options.faces,
        "code": code_hash(),
    }
    with found.detector as detector:
        yield _DepthWork(detector, estimator, options), facts


class _DepthWork:
    """Depth of faces, as a batch makes it."""

    kind = "depth"

    def __init__(self, detector: Detector, estimator: DepthEstimator, options: DepthOptions) -> None:
        self._detector, self._estimator, self._options = detector, estimator, options
        self._reconstructor: Reconstructor | None = None
        if options.beside_fit is not None:
            from recon.reconstructor import Reconstructor

            self._reconstructor = Reconstructor(method="fit", quality=options.beside_fit, detector=detector)

    def detect(self, photo: Photo) -> list[Face]:
        from recon.inference.landmark_detection import faces_with_landmarks

        return faces_with_landmarks(photo, self._detector)

    def make(self, photo: Photo, face: Face) -> FaceDepth:
        return self._estimator(photo, face, self._options.focal_px)

    def save(self, result: FaceDepth, folder: Path) -> None:
        from recon import export
        from recon.export.depth_json import encode_depth_json
        from recon.io.png import encode_png
        from recon.visualize.depth_picture import depth_picture

        options, depth_mm = self._options, result.depth_map()
        export.write_file(folder / "depth_colour.png", encode_png(depth_picture(result.depth_mm)))
        height, width = result.photo.pixels.shape[:2]
        about = encode_depth_json(result.camera, (height, width), result.focal_source, result.distance_sigma)
        export.write_file(folder / "camera.json", about)
        export.write_normals_png(folder / "normals.png", result.normal_map())
        if "png" in options.formats:
            export.write_depth_png(folder / "depth.png", depth_mm)
        if "exr" in options.formats:
            export.write_depth_exr(folder / "depth.exr", depth_mm)
        if "npy" in options.formats:
            export.write_depth_npy(folder / "depth.npy", depth_mm)
        self._save_measured(result, folder)
        self._save_fit(result, folder)
        if options.points:
            export.write_point_ply(folder / "points.ply", *result.points())
        if options.mesh:
            from recon.inference.depth_mesh import head_mesh

            mesh = head_mesh(result)
            export.write_glb(folder / "mesh.glb", mesh)
            export.write_ply(folder / "mesh.ply", mesh)

    def _save_measured(self, result: FaceDepth, folder: Path) -> None:
        """What was measured with the photo, beside the network's."""
        import numpy as np

        from recon import export
        from recon.io.png import encode_png
        from recon.visualize.depth_comparison import depth_comparison

        measured_mm = measured_part(result)
        if measured_mm is None or not (np.isfinite(measured_mm) & np.isfinite(result.depth_mm)).any():
            return
        sheet = depth_comparison(result.photo.pixels[result.part], result.depth_mm, measured_mm)
        export.write_file(folder / "measured_beside.png", encode_png(sheet))

    def _save_fit(self, result: FaceDepth, folder: Path) -> None:
        """The depth of a fitted head, in the size that agrees with the network's in the median, beside the network's."""
        import numpy as np

        from recon import export
        from recon.io.png import encode_png
        from recon.visualize.depth_comparison import depth_comparison

        if self._reconstructor is None:
            return
        focal_px = float(result.camera.focal_px[0, 0])
        photo = dataclasses.replace(result.photo, focal_px=focal_px, measured_depth=None)
        fitted_mm = self._reconstructor.fit_face(photo, result.face).depth_map()[result.part].astype(np.float64)
        both = np.isfinite(fitted_mm) & np.isfinite(result.depth_mm)
        if not both.any():
            return
        scale = float(np.median(result.depth_mm[both] / fitted_mm[both]))
        sheet = depth_comparison(
            result.photo.pixels[result.part], result.depth_mm, scale * fitted_mm, f"fit x {scale:.2f}"
        )
        export.write_file(folder / "fit_beside.png", encode_png(sheet))

    def row(self, name: str, result: FaceDepth) -> Row:
        import numpy as np

        seen = np.isfinite(result.depth_mm)
        measured_mm = measured_part(result)
        off_mm = None if measured_mm is None else measured_mm[seen] - result.depth_mm[seen]
        told = off_mm is not None and bool(np.isfinite(off_mm).any())
        return {
            "name": printable(name),
            "status": "done",
            "nearest_mm": round(float(result.depth_mm[seen].min()), 1) if seen.any() else None,
            "focal_px": round(float(result.camera.focal_px[0, 0]), 1),
            "focal_from": result.focal_source,
            "distance_sigma": None if result.distance_sigma is None else round(result.distance_sigma, 4),
            "pixels": int(seen.sum()),
            "measured_farther_mm": round(float(np.nanmedian(off_mm)), 1) if told and off_mm is not None else None,
        }


def measured_part(result: FaceDepth) -> Float[np.ndarray, "h w"] | None:
    """Depth that was measured with the photo, in the part that the network saw; None if none was, or no true distances."""
    measured = result.photo.measured_depth
    if measured is None or not measured.metric:
        return None
    height, width = result.photo.pixels.shape[:2]
    return measured.at_size((height, width))[result.part]


def _report(rows: list[Row], as_json: bool) -> None:
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if as_json else rows_text(rows))


def rows_text(rows: list[Row]) -> str:
    """The table for a terminal."""
    width = max((len(row["name"]) for row in rows), default=4)
    lines = [f"{'face':{width}}  status   nearest mm  focal px  from     pixels"]
    for row in rows:
        if "focal_px" not in row:
            lines.append(f"{row['name']:{width}}  {row['status']:7} {outcome_text(row)}")
            continue
        nearest = "-" if row["nearest_mm"] is None else f"{row['nearest_mm']:.1f}"
        lines.append(
            f"{row['name']:{width}}  {row['status']:7} {nearest:>11}  {row['focal_px']:8.0f}  {row['focal_from']:7} {row['pixels']:>7}"
        )
    for row in rows:
        if row.get("measured_farther_mm") is not None:
            lines.append(
                f"{row['name']}: measured depth is {row['measured_farther_mm']:+.1f} mm behind the network's (median)"
            )
    if any(row.get("focal_from") == "assumed" for row in rows):
        lines.append("A focal length that is assumed moves the head nearer or farther; its shape in mm stays.")
    return "\n".join(lines) + "\n"
