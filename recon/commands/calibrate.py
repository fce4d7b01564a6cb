"""``recon calibrate``: the error model of a landmark detector, from synthetic faces."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from recon.detector_names import DETECTORS, OPEN
from recon.io.faults import UsageError
from recon.io.names import printable

EXAMPLES = """examples:
  recon calibrate --detector open -o errors_open_478.npz
  recon calibrate --detector mediapipe --count 500 --seed 7 -o errors_mediapipe_478.npz
  recon synthesize -o traced --engine cycles --count 200 --size 320 --set framing=free
  recon calibrate --data traced --count 0 -o errors_traced.npz
"""
_SETS = ("478", "520", "68")
_SIZE_PX = 320


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``calibrate`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "calibrate",
        help="how a landmark detector errs",
        description="Render faces whose landmarks are known, let a detector find them, and write its bias and the covariance of its "
        "errors, by which fits weigh its points.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.npz", help="where to write")
    parser.add_argument("--detector", choices=DETECTORS, default=OPEN, help=f"[{OPEN}]")
    parser.add_argument("--set", dest="landmark_set", choices=_SETS, default="478", help="which points [478]")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="landmark network of the open detector")
    parser.add_argument("--model", default="open", help="whose faces are rendered [open]")
    parser.add_argument("--count", type=int, default=2000, help="faces to render [2000]")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="faces beside these: what recon synthesize wrote with the layout folder, such as path-traced ones",
    )
    parser.add_argument("--seed", type=int, default=4_210_000, help="of the faces [4210000]")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0.

    Raises:
        UsageError: options that do not go together, or a folder that is not there (nothing was begun then); too few faces were found to
            tell anything, or faces that were kept have no such landmarks.
        OutputError, DetectorUnavailable, CheckpointError: see there.
    """
    if arguments.count < (0 if arguments.data else 50):
        raise UsageError(f"--count must be at least 50, or 0 with --data, got {arguments.count}")
    missing = next((folder for folder in arguments.data if not folder.is_dir()), None)
    if missing is not None:
        raise UsageError(f"--data names folders that are there, got {printable(missing)}")
    if arguments.checkpoint is not None and arguments.detector != OPEN:
        raise UsageError("--checkpoint is of the open detector")
    if arguments.out.suffix != ".npz" or not arguments.out.absolute().parent.is_dir():
        raise UsageError(f"--out names a .npz file in a folder that is there, got {printable(arguments.out)}")
    from tqdm import tqdm

    import bfm
    from recon.datasets import FolderReader
    from recon.detection.detect import Detector, open_detector
    from recon.detection.error_model import save_error_model
    from recon.evaluation.calibration import LabelledFace, drawn_faces, fit_error_model, kept_faces, measure_errors
    from recon.inference.dense_landmark_detector import DenseLandmarkDetector
    from recon.inference.landmarks import LandmarkRegressor
    from recon.io.git import commit_of
    from recon.synthesis import FaceSampler, SynthesisConfig

    try:
        readers = [FolderReader(folder) for folder in arguments.data]
    except OSError as error:
        raise UsageError(f"--data names folders of recon synthesize with the layout folder: {error}") from error
    kept, name = sum(len(reader) for reader in readers), arguments.landmark_set
    if kept + arguments.count < 50:
        raise UsageError(f"at least 50 faces are needed, --data has {kept} and --count is {arguments.count}")
    faces: Iterable[LabelledFace] = itertools.chain(*(kept_faces(reader, name) for reader in readers))
    if arguments.count:
        config = SynthesisConfig(framing="free", head_share=(0.2, 0.8), yaw_deg=90.0, pitch_deg=50.0, roll_deg=35.0)
        sampler = FaceSampler(bfm.load(arguments.model), config, arguments.seed, (_SIZE_PX, _SIZE_PX))
        faces = itertools.chain(faces, drawn_faces(sampler, range(arguments.count), name))
    network = LandmarkRegressor(arguments.checkpoint) if arguments.checkpoint is not None else None
    chosen: Detector = DenseLandmarkDetector(network) if network is not None else open_detector(arguments.detector)
    with chosen as detector, _as_usage_error():
        errors, missed = measure_errors(
            lambda pixels: detector.detect(pixels, 24.0),
            iter(tqdm(faces, unit="face", total=kept + arguments.count)),
            name,
        )
    facts = {
        "detector": arguments.detector,
        "model": arguments.model,
        "seed": arguments.seed,
        "drawn": arguments.count,
        "kept": [len(reader) - len(reader.faults) for reader in readers],
        "missed": missed,
        "commit": commit_of(Path(__file__)) or "unknown",
    }
    with _as_usage_error():
        fitted = fit_error_model(errors, name, facts)
    save_error_model(arguments.out, fitted)
    damaged = [fault for reader in readers for fault in reader.faults]
    for fault in damaged:
        sys.stdout.write(f"left out  {fault}\n")
    sys.stdout.write(
        f"{fitted.facts['faces']} of {kept - len(damaged) + arguments.count} faces were found; {len(fitted.modes)} shared modes; wrote "
        f"{printable(arguments.out)}\n"
    )
    return 0


@contextlib.contextmanager
def _as_usage_error() -> Iterator[None]:
    """What the measurement refuses is the fault of what was asked for."""
    from recon.evaluation.calibration import CalibrationError

    try:
        yield
    except CalibrationError as error:
        raise UsageError(str(error)) from error
