"""``recon reconstruct``: photos to heads."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bfm.registry import MODEL_NAMES
from recon.commands.given_depth import add_depth_options, given_depth
from recon.commands.head_batch import HeadBatch, SaveHead, rows_text
from recon.commands.photo_batch import PhotoJob, Row, carry_out, with_progress
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.faults import UsageError
from recon.io.fingerprint import code_hash, file_hash
from recon.io.names import printable
from recon.io.output_folder import OutputFolder

if TYPE_CHECKING:
    from recon.reconstruction import Reconstruction
    from recon.reconstructor import Reconstructor

EXAMPLES = """examples:
  recon reconstruct photo.jpg -o heads
  recon reconstruct holiday/ -o heads --format glb,obj --faces all --quality best
  recon reconstruct a.jpg b.jpg c.jpg -o heads --same-person
  recon reconstruct photo.jpg -o heads --depth depth.exr --depth-unit m
"""
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".heic", ".heif")
# Written out, because importing them takes a second that no other command should wait for.
_FORMATS = ("glb", "obj", "ply", "stl", "usdz")
_CAMERAS = ("perspective", "weak_perspective")


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reconstruct`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "reconstruct",
        help="photos to heads",
        description="Reconstruct the heads in photos. Each face gets a folder with the head and an overview.png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    add_options(parser)
    parser.add_argument(
        "--faces", choices=("all", "largest"), default="largest", help="which faces of a photo [largest]"
    )
    add_depth_options(parser)
    parser.add_argument("--same-person", action="store_true", help="fit one head to the largest face of every photo")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with ``recon demo``."""
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--model", default="open", help=f"one of {', '.join(MODEL_NAMES)}, or a .safetensors file [open]"
    )
    parser.add_argument("--format", default="glb", metavar="LIST", help="mesh formats: glb, obj, ply, stl, usdz [glb]")
    parser.add_argument(
        "--method",
        choices=("fit", "regress", "hybrid"),
        default="fit",
        help="fitting, a trained network, or both [fit]",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="network for regress and hybrid [the package's]"
    )
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    parser.add_argument(
        "--camera",
        choices=_CAMERAS,
        default="perspective",
        help="how fit and hybrid project the head [perspective]",
    )
    parser.add_argument(
        "--white-light", action="store_true", help="fit and hybrid with one light for all colour channels"
    )
    parser.add_argument("--texture-size", type=int, default=1024, metavar="PX", help="side of the texture [1024]")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, or auto: cuda for regress if it is there, cpu for fits, which are faster there [auto]",
    )
    parser.add_argument("--overwrite", action="store_true", help="make finished heads again, and those made otherwise")


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """What the command line says about making heads.

    Attributes:
        out: folder of the results.
        model, method, quality, device, checkpoint, camera, white_light: see :class:`recon.reconstructor.Reconstructor`.
        detector: name of a face detector.
        formats: of meshes.
        texture_size: side in px, 0 for none.
        faces: ``"all"`` or ``"largest"``.
        same_person: fit one identity to all photos.
        overwrite: make finished heads again.
        as_json: print the table as JSON.
    """

    out: Path
    model: str = "open"
    method: str = "fit"
    quality: str = "default"
    device: str = "auto"
    checkpoint: Path | None = None
    detector: str = DEFAULT_DETECTOR
    camera: Literal["perspective", "weak_perspective"] = "perspective"
    white_light: bool = False
    formats: tuple[str, ...] = ("glb",)
    texture_size: int = 1024
    faces: str = "largest"
    same_person: bool = False
    overwrite: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for what can be told without loading anything."""
        unknown = [name for name in self.formats if name not in _FORMATS]
        if unknown or not self.formats:
            found = repr(unknown[0]) if unknown else "none"
            raise UsageError(f"unknown mesh format {found}; known: {', '.join(_FORMATS)}")
        if "usdz" in self.formats and importlib.util.find_spec("pxr") is None:
            raise UsageError("--format usdz needs usd-core: pip install 'facerecon[usd]', or '.[usd]' in a checkout")
        if not 0 <= self.texture_size <= 8192:
            raise UsageError(f"--texture-size must lie in 0..8192, got {self.texture_size}")
        if self.same_person and self.method == "regress":
            raise UsageError("--same-person needs --method fit or hybrid, not regress")
        if self.checkpoint is not None and self.method == "fit":
            raise UsageError("--checkpoint is for --method regress and hybrid")
        if self.method == "regress" and (self.camera != "perspective" or self.white_light):
            raise UsageError("--camera and --white-light are for --method fit and hybrid: a network has its own")
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise UsageError(f"no such checkpoint: {printable(self.checkpoint)}")


def options_of(arguments: argparse.Namespace) -> HeadOptions:
    """The options that :func:`add_options` added, and those of ``recon reconstruct`` where they are there.

    Raises:
        UsageError: see :class:`HeadOptions`.
    """
    formats = tuple(dict.fromkeys(name.strip() for name in arguments.format.split(",") if name.strip()))
    own = {field.name for field in dataclasses.fields(HeadOptions)}
    return HeadOptions(formats=formats, **{name: value for name, value in vars(arguments).items() if name in own})


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a photo failed.

    Raises:
        UsageError: nothing to do, or options that do not go together.
    """
    options = options_of(arguments)
    jobs = [PhotoJob(path.stem, path) for path in collect_pictures(arguments.photos)]
    depth = given_depth(arguments, jobs)
    if depth is not None:
        if options.method == "regress" or options.camera != "perspective":
            raise UsageError("--depth is for --method fit and hybrid with the perspective camera")
        jobs = [dataclasses.replace(jobs[0], depth=depth)]
    return reconstruct_all(jobs, options)


def reconstruct_all(jobs: list[PhotoJob], options: HeadOptions) -> int:
    """Reconstruct photos into ``options.out``; used by ``recon demo`` too. Returns 0, or 1 if a photo failed.

    Raises:
        UsageError: options that the model, the network or the detector cannot do, before any photo is read.
        OutputError: the folder cannot be written to.
        DetectorUnavailable: the detector's package or networks are missing.
        KeyboardInterrupt: with a message of what is kept.
    """
    output = OutputFolder(options.out)
    try:
        with _opened(options) as (reconstructor, facts):
            batch = HeadBatch(reconstructor, output, _save(options), facts, options.faces, options.overwrite)
            return carry_out(
                batch,
                lambda: batch.run_person(jobs) if options.same_person else with_progress(batch, jobs),
                lambda rows: _report(rows, options.as_json),
                f"finished heads are kept in {printable(options.out)}",
            )
    finally:
        output.close()


@contextlib.contextmanager
def _opened(options: HeadOptions) -> Iterator[tuple[Reconstructor, dict[str, Any]]]:
    """A reconstructor with an opened detector, and what decides its heads."""
    from recon.detection.detect import open_detector
    from recon.inference.regress import default_checkpoint
    from recon.io.fingerprint import model_hash
    from recon.networks.network_file import CheckpointError
    from recon.reconstructor import Reconstructor

    with open_detector(options.detector) as detector:
        try:
            reconstructor = Reconstructor(
                options.model,
                method=options.method,
                device=options.device,
                quality=options.quality,
                detector=detector,
                checkpoint=options.checkpoint,
                camera=options.camera,
                white_light=options.white_light,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        try:
            # Fits of faces without landmarks start from the package's network, too.
            network = file_hash(options.checkpoint or default_checkpoint(reconstructor.model.name))
        except CheckpointError:
            network = None
        yield (
            reconstructor,
            {
                "method": options.method,
                "quality": options.quality,
                "camera": options.camera,
                "white_light": options.white_light,
                "model": model_hash(reconstructor.model),
                "network": network,
                "detector": options.detector,
                "format": sorted(options.formats),
                "texture_size": options.texture_size,
                "faces": options.faces,
                "code": code_hash(),
            },
        )


def _save(options: HeadOptions) -> SaveHead:
    def save(head: Reconstruction, folder: Path) -> None:
        from recon.io.files import write_file
        from recon.io.png import encode_png
        from recon.visualize.overview import overview

        write_file(folder / "overview.png", encode_png(overview(head)))
        head.save(folder, options.formats, texture_size=options.texture_size)

    return save


def _report(rows: list[Row], as_json: bool) -> None:
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if as_json else rows_text(rows))


def collect_pictures(given: list[Path]) -> list[Path]:
    """Pictures of all files and folders; also for ``recon prepare-photos``.

    Raises:
        UsageError: one does not exist or cannot be looked into, or there are no pictures.
    """
    found: list[Path] = []
    for path in given:
        try:
            if path.is_dir():
                found += sorted(p for p in path.iterdir() if p.suffix.lower() in _PICTURES and p.is_file())
            elif path.exists():
                found.append(path)
            else:
                raise UsageError(f"no such photo or folder: {printable(path)}")
        except OSError as error:
            raise UsageError(f"cannot look into {printable(path)}: {error.strerror or error}") from error
    if not found:
        raise UsageError(f"no pictures in {', '.join(map(printable, given))}; known: {' '.join(_PICTURES)}")
    return found
