"""``recon prepare-photos``: photos to a set that training reads."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bfm.registry import MODEL_NAMES
from recon.commands.reconstruct import collect_pictures
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.faults import UsageError
from recon.io.names import printable

if TYPE_CHECKING:
    from recon.training.preparing import Prepared

EXAMPLES = """examples:
  recon prepare-photos photos/ -o data/photos
  python train.py fit --config configs/paper_step1.yaml --data.init_args.folder data/photos
"""
_SMALLEST_PX, _LARGEST_PX = 32, 2048


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``prepare-photos`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "prepare-photos",
        help="photos to a set for training",
        description="Find, frame, segment and mark the face of each photo, for training without labels. Photos with no face or "
        "several are left out. The same command goes on where an earlier one ended.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of the stored crops [256]")
    parser.add_argument(
        "--model", default="open", help=f"one of {', '.join(MODEL_NAMES)}, or a .safetensors file [open]"
    )
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="fast", help="of the fits [fast]")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [auto]")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a photo was left out.

    Raises:
        UsageError: nothing to do, or options that do not go together; nothing was begun.
        PhotoSetError, OutputError, DetectorUnavailable: see :func:`recon.training.preparing.prepare_photos`.
        KeyboardInterrupt: with a message of what is kept.
    """
    if not _SMALLEST_PX <= arguments.size <= _LARGEST_PX:
        raise UsageError(f"--size must lie in {_SMALLEST_PX}..{_LARGEST_PX}, got {arguments.size}")
    photos = collect_pictures(arguments.photos)
    out = arguments.out.resolve()
    if any(given.is_dir() and given.resolve() == out for given in arguments.photos):
        raise UsageError(f"{printable(arguments.out)} holds the photos: prepare them into another folder")
    prepared = _prepare(photos, arguments)
    _report(prepared, arguments.out, as_json=arguments.as_json)
    return 1 if prepared.refused else 0


def _prepare(photos: list[Path], arguments: argparse.Namespace) -> Prepared:
    from tqdm import tqdm

    from recon.detection.detect import open_detector
    from recon.reconstructor import Reconstructor
    from recon.training.preparing import prepare_photos

    with open_detector(arguments.detector) as detector:
        try:
            reconstructor = Reconstructor(
                arguments.model, device=arguments.device, quality=arguments.quality, detector=detector
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        try:
            with tqdm(photos, unit="photo", disable=len(photos) < 2) as bar:
                return prepare_photos(bar, arguments.out, reconstructor, arguments.size)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"what is done is kept in {printable(arguments.out)}; the same command goes on from there"
            ) from None


def _report(prepared: Prepared, out: Path, *, as_json: bool) -> None:
    refused = {printable(path): printable(why) for path, why in prepared.refused.items()}
    if as_json:
        sys.stdout.write(json.dumps({"kept": list(prepared.kept), "left_out": refused}, indent=1) + "\n")
        return
    for path, why in refused.items():
        sys.stdout.write(f"left out  {path}: {why}\n")
    total = len(prepared.kept) + len(refused)
    sys.stdout.write(f"{len(prepared.kept)} of {total} photos are prepared in {printable(out)}\n")
