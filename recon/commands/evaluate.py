"""``recon evaluate``: figures that anyone can get again, one command a protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands import evaluate_tools
from recon.commands.evaluate_tools import complain, say
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recon.evaluation.depth_methods import DepthMethod, DepthMethodsOptions
    from recon.evaluation.journal import Journal
    from recon.evaluation.pose_source import PoseSource
    from recon.evaluation.predict import Predictor, PredictorOptions
    from recon.evaluation.reports.result import Evaluation
    from recon.inference.estimate_poses import PoseOptions

# Written out, because importing them takes a second that no other command should wait for.
_RULES = ("micc", "now", "nonrigid")
_HEAD_METHODS = ("fit", "regress", "hybrid")
_POSE_METHODS = ("landmarks", "sixd", "fsanet", "hopenet")
_LAYOUTS = ("aflw2000", "biwi", "c3i", "pointing04", "points68", "synthetic", "table")
_CONVENTIONS = ("zyx", "xyz", "300wlp", "biwi", "pointing04")
_DEPTH_METHODS = ("network", "fit", "mean")
_DEPTH_LAYOUTS = (
    *("pairs", "c3i", "c3i-planar", "eurecom", "synthhuman", "biwi"),
    *("pandora", "pandora-train", "pandora-test"),
)
_UNITS = ("mm", "cm", "m", "inch")
EXAMPLES = """examples:
  recon evaluate alignment --data AFLW2000-3D -o report
  recon evaluate scans --data micc --rules micc -o report --method fit --quality best
  recon evaluate pose --data biwi --layout biwi -o report
  recon evaluate pose --data biwi --layout biwi -o sixd --method sixd --checkpoint best.safetensors
  recon evaluate pose-table report/report.json sixd/report.json
  recon evaluate depth --data kinect -o report --predictions other_method/
  recon evaluate depth --heads 500 --network open --methods network fit mean -o report
  recon evaluate synthetic -o report
  recon evaluate compare before/report.json after/report.json
  recon evaluate ablation --plan ablation.yaml --seeds 0 1 2 --protocol scans --data micc -o ablation
  recon evaluate study --results heads_a heads_b -o study.html
  recon evaluate opinions --key study.key.json answers*.json
"""


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``evaluate`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "evaluate",
        help="measure accuracy by published protocols",
        description="Measure reconstructions. Each protocol writes report.md, report.json and pictures. What is measured is "
        "kept until then: the same command goes on from where an interrupted one ended.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda arguments: _usage(parser))
    protocols = parser.add_subparsers(metavar="PROTOCOL")
    _protocol(protocols, "alignment", "68 landmarks on AFLW2000-3D (.jpg + .mat)", _alignment)
    scans = _protocol(protocols, "scans", "photos against 3D scans (MICC, NoW)", _scans)
    scans.add_argument("--rules", default=",".join(_RULES), metavar="LIST", help="some of micc,now,nonrigid [all]")
    scans.add_argument("--scan-unit", choices=_UNITS, help="unit of the scans and their landmarks [mm, checked]")
    pose = _protocol(
        protocols, "pose", "head pose on published data sets or a table", _pose, (*_HEAD_METHODS, *_POSE_METHODS)
    )
    pose.add_argument("--layout", choices=_LAYOUTS, default="aflw2000", help="of the data [aflw2000]")
    pose.add_argument("--convention", choices=_CONVENTIONS, help="what the angles of --layout table mean [zyx]")
    depth = _protocol(protocols, "depth", "depth maps (NAME.jpg + NAME_depth.npy or .png), or drawn heads", _depth)
    depth.add_argument("--heads", type=int, metavar="N", help="measure on so many drawn heads instead of --data")
    depth.add_argument("--network", metavar="NAME_OR_FILE", help="measure a depth network, such as open")
    depth.add_argument(
        "--methods",
        nargs="+",
        choices=_DEPTH_METHODS,
        help="side by side on the same pixels; mean: the mean head in the true pose",
    )
    depth.add_argument("--predictions", type=Path, metavar="DIR", help="depth maps of another method instead of heads")
    depth.add_argument("--layout", choices=_DEPTH_LAYOUTS, default="pairs", help="of the data [pairs]")
    depth.add_argument("--focal-px", type=float, metavar="F", help="focal length of the photos in pixels [from EXIF]")
    synthetic = _protocol(
        protocols, "synthetic", "the standing benchmark on synthetic faces; needs no data", _synthetic
    )
    synthetic.add_argument("--count", type=int, default=500, help="samples [500]")
    evaluate_tools.add_parsers(protocols)


def _protocol(
    protocols: argparse._SubParsersAction,
    name: str,
    text: str,
    call: Callable[[argparse.Namespace, Any, Journal], Evaluation],
    methods: tuple[str, ...] = _HEAD_METHODS,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = protocols.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    if name != "synthetic":
        parser.add_argument("--data", type=Path, required=name != "depth", metavar="DIR", help="the data set")
    parser.add_argument("-o", "--out", type=Path, default=Path("report"), metavar="DIR", help="where to write [report]")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a report that is there, or the kept samples of another run"
    )
    parser.add_argument("--method", choices=methods, default="fit", help="how it is done [fit]")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights of a network")
    parser.add_argument("--model", default="open", help="face model [open]")
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [auto]")
    parser.set_defaults(run=run, call=call)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Carry out a protocol. Returns 0, 1 for a run that failed, 2 for wrong usage or data that cannot be used.

    Raises:
        KeyboardInterrupt: with a sentence about what is kept.
    """
    from recon.detection.face import DetectorUnavailable
    from recon.evaluation.aflw2000 import LabelError
    from recon.evaluation.depth_folder import DepthDataError
    from recon.evaluation.report_folder import report_folder
    from recon.evaluation.reports.report import summary_table, table_text
    from recon.evaluation.scans.scan import ScanError
    from recon.io.faults import UsageError, reason

    try:
        options = _checked(arguments)
        with report_folder(arguments.out, overwrite=arguments.overwrite) as journal:
            evaluation, written = _evaluate(arguments, options, journal)
    # The last three come from looking through the data, before work: single faulty items are rows of the report.
    except (UsageError, LabelError, ScanError, DepthDataError) as error:
        return complain(reason(error), 2)
    except (DetectorUnavailable, OSError) as error:
        return complain(reason(error), 1)
    say(table_text(summary_table(evaluation)))
    for title, entries in (("failed", evaluation.failures), ("left out", evaluation.dropped)):
        if entries:
            say(f"{len(entries)} {title}, the first: {entries[0].name}: {entries[0].reason}")
    say(f"wrote {', '.join(path.name for path in written)} to {arguments.out}")
    return 0 if evaluation.samples else 1


def _checked(arguments: argparse.Namespace) -> PredictorOptions | PoseOptions | DepthMethodsOptions:
    """The options of the predictor, or of a method that tells poses alone; refuses what does not go together."""
    from recon.evaluation.predict import PredictorOptions
    from recon.io.faults import UsageError

    if arguments.checkpoint is not None and not arguments.checkpoint.is_file():
        raise UsageError(f"no such checkpoint: {arguments.checkpoint}")
    if arguments.method == "fit" and arguments.checkpoint is not None:
        raise UsageError("--checkpoint is for --method regress and hybrid")
    for folder in (getattr(arguments, "data", None), getattr(arguments, "predictions", None)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"no such folder: {folder}")
    if getattr(arguments, "convention", None) is not None and arguments.layout != "table":
        raise UsageError(f"--convention is for --layout table; {arguments.layout} has its own")
    if arguments.method in _POSE_METHODS:
        from recon.inference.estimate_poses import PoseOptions

        try:
            return PoseOptions(arguments.method, arguments.checkpoint, arguments.detector, arguments.quality)
        except ValueError as error:
            raise UsageError(str(error)) from error
    options = PredictorOptions(
        arguments.method,
        arguments.quality,
        arguments.model,
        arguments.detector,
        arguments.device,
        arguments.checkpoint,
    )
    return _depth_options(arguments, options) if arguments.call is _depth else options


def _depth_options(
    arguments: argparse.Namespace, predictor: PredictorOptions
) -> PredictorOptions | DepthMethodsOptions:
    """Depth is that of heads, unless a network or methods are named; refuses what does not go together."""
    from recon.evaluation.depth_methods import DepthMethodsOptions
    from recon.io.faults import UsageError

    if (arguments.data is None) == (arguments.heads is None):
        raise UsageError("give a folder with --data, or a number of drawn heads with --heads")
    named = arguments.methods is not None or arguments.network is not None or arguments.heads is not None
    if named and (arguments.predictions is not None or arguments.method != "fit" or arguments.checkpoint is not None):
        raise UsageError(
            "--network, --methods and --heads go neither with --predictions nor with --method and --checkpoint"
        )
    if not named:
        return predictor
    if arguments.heads is not None and arguments.focal_px is not None:
        raise UsageError("--focal-px is for --data; drawn heads tell their focal length")
    if arguments.network is not None and "network" not in (arguments.methods or ("network",)):
        raise UsageError("--network goes with --methods network")
    return DepthMethodsOptions(tuple(arguments.methods or ("network",)), arguments.network, predictor)


def _evaluate(
    arguments: argparse.Namespace, options: PredictorOptions | PoseOptions | DepthMethodsOptions, journal: Journal
) -> tuple[Evaluation, list[Path]]:
    """Measure and write the report; however it ends, it says what is kept."""
    from recon.evaluation.reports.report import write_report

    try:
        with _opened(options) as source:
            evaluation = arguments.call(arguments, source, journal)
        written = write_report(evaluation, arguments.out, overwrite=arguments.overwrite, announce=journal.announce)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(journal.kept()) from None
    except BaseException:
        if journal.n_kept > 0:
            complain(journal.kept(), 1)
        raise
    journal.remove()
    return evaluation, written


def _opened(
    options: PredictorOptions | PoseOptions | DepthMethodsOptions,
) -> AbstractContextManager[Predictor | PoseSource | tuple[DepthMethod, ...]]:
    from recon.evaluation.depth_methods import DepthMethodsOptions, open_depth_methods
    from recon.evaluation.pose_source import open_pose_source
    from recon.evaluation.predict import PredictorOptions, open_predictor

    if isinstance(options, DepthMethodsOptions):
        return open_depth_methods(options)
    return open_predictor(options) if isinstance(options, PredictorOptions) else open_pose_source(options)


def _alignment(arguments: argparse.Namespace, predictor: Predictor, journal: Journal) -> Evaluation:
    from recon.evaluation.protocols.alignment import evaluate_alignment

    with _progress("photo") as tick:
        return evaluate_alignment(arguments.data, predictor, progress=tick, journal=journal)


def _scans(arguments: argparse.Namespace, predictor: Predictor, journal: Journal) -> Evaluation:
    from recon.evaluation.protocols.scans import evaluate_scans

    rules = tuple(name.strip() for name in arguments.rules.split(",") if name.strip())
    with _progress("photo") as tick:
        return evaluate_scans(arguments.data, predictor, rules, arguments.scan_unit, progress=tick, journal=journal)


def _pose(arguments: argparse.Namespace, source: Predictor | PoseSource, journal: Journal) -> Evaluation:
    from recon.evaluation.protocols.pose import evaluate_pose

    with _progress("photo") as tick:
        return evaluate_pose(
            arguments.data, source, arguments.layout, arguments.convention, progress=tick, journal=journal
        )


def _depth(arguments: argparse.Namespace, source: Predictor | tuple[DepthMethod, ...], journal: Journal) -> Evaluation:
    from recon.evaluation.depth_cases import drawn_heads, folder_cases
    from recon.evaluation.protocols.depth import evaluate_depth
    from recon.evaluation.protocols.depth_methods import evaluate_depth_methods

    if isinstance(source, tuple) and (arguments.heads is not None or arguments.methods is not None):
        if arguments.heads is None:
            cases = folder_cases(arguments.data, arguments.layout, arguments.focal_px)
        else:
            cases = drawn_heads(arguments.model, arguments.heads)
        with _progress("face", len(cases.names)) as tick:
            return evaluate_depth_methods(cases, source, progress=tick, journal=journal)
    with _progress("photo") as tick:
        only = source[0] if isinstance(source, tuple) else arguments.predictions or source
        return evaluate_depth(
            arguments.data, only, arguments.focal_px, arguments.layout, progress=tick, journal=journal
        )


def _synthetic(arguments: argparse.Namespace, predictor: Predictor, journal: Journal) -> Evaluation:
    from recon.evaluation.protocols.synthetic import evaluate_synthetic

    with _progress("face", arguments.count) as tick:
        return evaluate_synthetic(predictor, arguments.count, progress=tick, journal=journal)


@contextmanager
def _progress(unit: str, total: int | None = None) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm

    with tqdm(unit=unit, total=total, leave=False) as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        yield tick


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 2
