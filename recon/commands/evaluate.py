"""``recon evaluate``: figures that anyone can get again, one command a protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recon.commands import evaluate_tools
from recon.commands.evaluate_tools import complain, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recon.evaluation.predict import Predictor
    from recon.evaluation.result import Evaluation

# Written out, because importing them takes a second that no other command should wait for.
_RULES = ("micc", "now", "nonrigid")
_LAYOUTS = ("aflw2000", "biwi", "c3i")
_DEPTH_LAYOUTS = ("pairs", "c3i")
_UNITS = ("mm", "cm", "m", "inch")
EXAMPLES = """examples:
  recon evaluate alignment --data AFLW2000-3D -o report
  recon evaluate scans --data micc --rules micc -o report --method fit --quality best
  recon evaluate pose --data biwi --layout biwi -o report
  recon evaluate depth --data kinect -o report --predictions other_method/
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
        description="Measure reconstructions. Each protocol writes report.md, report.json and pictures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda arguments: _usage(parser))
    protocols = parser.add_subparsers(metavar="PROTOCOL")
    _protocol(protocols, "alignment", "68 landmarks on AFLW2000-3D (.jpg + .mat)", _alignment)
    scans = _protocol(protocols, "scans", "photos against 3D scans (MICC, NoW)", _scans)
    scans.add_argument("--rules", default=",".join(_RULES), metavar="LIST", help="some of micc,now,nonrigid [all]")
    scans.add_argument("--scan-unit", choices=_UNITS, help="unit of the scans and their landmarks [mm, checked]")
    pose = _protocol(protocols, "pose", "head pose on AFLW2000-3D, BIWI or C3I-SynFace", _pose)
    pose.add_argument("--layout", choices=_LAYOUTS, default="aflw2000", help="of the data [aflw2000]")
    depth = _protocol(protocols, "depth", "depth maps (NAME.jpg + NAME_depth.npy or .png)", _depth)
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
    call: Callable[[argparse.Namespace, Predictor], Evaluation],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = protocols.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    if name != "synthetic":
        parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set")
    parser.add_argument("-o", "--out", type=Path, default=Path("report"), metavar="DIR", help="where to write [report]")
    parser.add_argument("--overwrite", action="store_true", help="replace a report that is there")
    parser.add_argument(
        "--method", choices=("fit", "regress", "hybrid"), default="fit", help="how heads are made [fit]"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights for regress and hybrid")
    parser.add_argument("--model", default="open", help="face model [open]")
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    parser.add_argument("--detector", default="mediapipe", help="mediapipe or insightface [mediapipe]")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [auto]")
    parser.set_defaults(run=run, call=call)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Carry out a protocol. Returns 0, 1 for a run that failed, 2 for wrong usage or data that cannot be used."""
    from recon.evaluation.predict import PredictorOptions, open_predictor
    from recon.evaluation.report import summary_table, table_text, write_report
    from recon.faces.face import DetectorUnavailable

    if (arguments.out / "report.json").exists() and not arguments.overwrite:
        return complain(
            f"{arguments.out / 'report.json'} exists; choose another folder with -o, or pass --overwrite", 2
        )
    if arguments.checkpoint is not None and not arguments.checkpoint.is_file():
        return complain(f"no such checkpoint: {arguments.checkpoint}", 2)
    if arguments.method == "fit" and arguments.checkpoint is not None:
        return complain("--checkpoint is for --method regress and hybrid", 2)
    if "data" in arguments and not arguments.data.is_dir():
        return complain(f"no such folder: {arguments.data}", 2)
    options = PredictorOptions(
        arguments.method,
        arguments.quality,
        arguments.model,
        arguments.detector,
        arguments.device,
        arguments.checkpoint,
    )
    try:
        with open_predictor(options) as predictor:
            evaluation = arguments.call(arguments, predictor)
        written = write_report(evaluation, arguments.out, overwrite=arguments.overwrite)
    except DetectorUnavailable as error:
        return complain(str(error), 1)
    except ValueError as error:
        return complain(str(error), 2)
    except OSError as error:
        return complain(str(error), 1)
    say(table_text(summary_table(evaluation)))
    for title, entries in (("failed", evaluation.failures), ("left out", evaluation.dropped)):
        if entries:
            say(f"{len(entries)} {title}, the first: {entries[0].name}: {entries[0].reason}")
    say(f"wrote {', '.join(path.name for path in written)} to {arguments.out}")
    return 0 if evaluation.samples else 1


def _alignment(arguments: argparse.Namespace, predictor: Predictor) -> Evaluation:
    from recon.evaluation.protocols.alignment import evaluate_alignment

    with _progress("photo") as tick:
        return evaluate_alignment(arguments.data, predictor, progress=tick)


def _scans(arguments: argparse.Namespace, predictor: Predictor) -> Evaluation:
    from recon.evaluation.protocols.scans import evaluate_scans

    rules = tuple(name.strip() for name in arguments.rules.split(",") if name.strip())
    with _progress("photo") as tick:
        return evaluate_scans(arguments.data, predictor, rules, arguments.scan_unit, progress=tick)


def _pose(arguments: argparse.Namespace, predictor: Predictor) -> Evaluation:
    from recon.evaluation.protocols.pose import evaluate_pose

    with _progress("photo") as tick:
        return evaluate_pose(arguments.data, predictor, arguments.layout, progress=tick)


def _depth(arguments: argparse.Namespace, predictor: Predictor) -> Evaluation:
    from recon.evaluation.protocols.depth import evaluate_depth

    if arguments.predictions is not None and not arguments.predictions.is_dir():
        raise ValueError(f"no such folder: {arguments.predictions}")
    with _progress("photo") as tick:
        source = arguments.predictions or predictor
        return evaluate_depth(arguments.data, source, arguments.focal_px, arguments.layout, progress=tick)


def _synthetic(arguments: argparse.Namespace, predictor: Predictor) -> Evaluation:
    from recon.evaluation.protocols.synthetic import evaluate_synthetic

    with _progress("face", arguments.count) as tick:
        return evaluate_synthetic(predictor, arguments.count, progress=tick)


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
