"""What ``recon evaluate`` offers besides protocols: comparing, ablations and the subjective study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recon.io.names import printable

if TYPE_CHECKING:
    from recon.evaluation.reports.result import Table


def add_parsers(protocols: argparse._SubParsersAction) -> None:
    """Add ``compare``, ``pose-table``, ``ablation``, ``study`` and ``opinions``."""
    compare = protocols.add_parser(
        "compare",
        help="two reports side by side",
        description="Differences of two evaluations on the samples they share, with 95 %% bootstrap intervals.",
    )
    compare.add_argument("a", type=Path, metavar="A.json")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.add_argument("-o", "--out", type=Path, metavar="FILE.md", help="write the table as Markdown too")
    compare.add_argument("--overwrite", action="store_true", help="replace FILE.md")
    compare.set_defaults(run=_compare)
    poses = protocols.add_parser(
        "pose-table",
        help="several methods of head pose in one table",
        description="Reports of the protocol pose on one data set, a row each, with failures and how true stated uncertainties are, "
        "above the published figures.",
    )
    poses.add_argument("reports", type=Path, nargs="+", metavar="REPORT.json")
    poses.add_argument("-o", "--out", type=Path, metavar="FILE.md", help="write the table as Markdown too")
    poses.add_argument("--overwrite", action="store_true", help="replace FILE.md")
    poses.set_defaults(run=_pose_table)
    ablation = protocols.add_parser(
        "ablation",
        help="train and measure configs x seeds; Tables 4, 5 and 6, and losses of depth",
        description="Train and measure the rows of a plan with several seeds. Finished runs are kept, so it can be "
        "interrupted and repeated. The plan's format: recon/evaluation/ablation.py.",
    )
    ablation.add_argument("--plan", type=Path, required=True, metavar="FILE.yaml")
    ablation.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    ablation.add_argument("--protocol", choices=("scans", "synthetic", "depth"), default="synthetic")
    ablation.add_argument(
        "--data", type=Path, metavar="DIR", help="photos with scans or depth for --protocol scans or depth"
    )
    ablation.add_argument("--count", type=int, default=500, help="samples for --protocol synthetic [500]")
    ablation.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    ablation.set_defaults(run=_ablation)
    study = protocols.add_parser(
        "study",
        help="a questionnaire for people, one HTML file",
        description="Make a questionnaire from the results of several methods (Table 3). Writes FILE.html for the "
        "participants and FILE.key.json, which they must not see.",
    )
    study.add_argument("--results", type=Path, nargs="+", required=True, metavar="DIR", help="a folder a method")
    study.add_argument("-o", "--out", type=Path, default=Path("study.html"), metavar="FILE.html")
    study.add_argument(
        "--seed", type=int, metavar="N", help="of the tokens; whoever knows it knows the methods [drawn, in the key]"
    )
    study.add_argument("--overwrite", action="store_true")
    study.set_defaults(run=_study)
    opinions = protocols.add_parser(
        "opinions", help="answers to mean opinion scores", description="Mean opinion scores from saved answers."
    )
    opinions.add_argument("answers", type=Path, nargs="+", metavar="ANSWERS.json")
    opinions.add_argument("--key", type=Path, required=True, metavar="FILE.key.json")
    opinions.set_defaults(run=_opinions)


def _compare(arguments: argparse.Namespace) -> int:
    from recon.evaluation.reports.compare import compare
    from recon.evaluation.reports.result import read_evaluation

    return _table(arguments, lambda: compare(read_evaluation(arguments.a), read_evaluation(arguments.b)))


def _pose_table(arguments: argparse.Namespace) -> int:
    from recon.evaluation.reports.pose_table import pose_table
    from recon.evaluation.reports.result import read_evaluation

    return _table(arguments, lambda: pose_table([read_evaluation(path) for path in arguments.reports]))


def _table(arguments: argparse.Namespace, make: Callable[[], Table]) -> int:
    """Print a table that is made of reports, and write it if asked to. Returns 0, 1 for a failure, 2 for wrong usage."""
    from recon.evaluation.reports.compare import ComparisonError
    from recon.evaluation.reports.report import table_markdown, table_text
    from recon.evaluation.reports.result import ResultFileError
    from recon.io.faults import reason
    from recon.io.files import write_file

    if arguments.out is not None and arguments.out.exists() and not arguments.overwrite:
        return complain(f"{arguments.out} exists; choose another file with -o, or pass --overwrite", 2)
    try:
        table = make()
    except (ResultFileError, ComparisonError) as error:
        return complain(reason(error), 2)
    say(table_text(table))
    if arguments.out is not None:
        try:
            write_file(arguments.out, (table_markdown(table) + "\n").encode(), overwrite=arguments.overwrite)
        except OSError as error:
            return complain(reason(error), 1)
    return 0


def _ablation(arguments: argparse.Namespace) -> int:
    from recon.evaluation.ablation import AblationSettings, read_plan, run_ablation
    from recon.evaluation.report_folder import held_folder
    from recon.evaluation.reports.report import escaped, table_markdown, table_text
    from recon.io.faults import UsageError, reason
    from recon.io.files import write_file

    table_file = arguments.out / "ablation.md"
    try:
        plan = read_plan(arguments.plan)
        settings = AblationSettings(
            arguments.out, tuple(arguments.seeds), arguments.protocol, arguments.data, arguments.count
        )
        with held_folder(arguments.out):
            _check_ours(table_file)
            outcome = run_ablation(plan, settings, tell=say)
            parts = [_MARK, *(table_markdown(table) for table in outcome.tables)]
            parts += [f"- failed: {escaped(entry.name)}: {escaped(entry.reason)}" for entry in outcome.failures]
            write_file(table_file, ("\n\n".join(parts) + "\n").encode(), overwrite=True)
    except UsageError as error:
        return complain(reason(error), 2)
    except OSError as error:
        return complain(reason(error), 1)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"finished runs are kept in {arguments.out}; the same command goes on from there"
        ) from None
    for table in outcome.tables:
        say(table_text(table))
    for entry in outcome.failures:
        complain(f"failed: {entry.name}: {entry.reason}", 1)
    return 1 if outcome.failures else 0


_MARK = "<!-- written by 'recon evaluate ablation', which replaces this file -->"


def _check_ours(path: Path) -> None:
    """Refuse to replace a table that was not written here.

    Raises:
        OutputError: naming the file.
    """
    from recon.io.files import OutputError

    if path.exists() and not (path.is_file() and path.read_bytes().startswith(_MARK.encode())):
        raise OutputError(
            f"{path} was not written by 'recon evaluate ablation'; move it away, or choose another folder"
        )


def _study(arguments: argparse.Namespace) -> int:
    from recon.evaluation.study.questionnaire import StudyError, make_study
    from recon.io.faults import reason
    from recon.io.files import write_files

    page = arguments.out
    if not page.name:
        return complain(f"{page} is a folder; pass -o FILE.html", 2)
    key = page.with_suffix(".key.json")
    for path in (page, key):
        if path.exists() and not arguments.overwrite:
            return complain(f"{path} exists; choose another file with -o, or pass --overwrite", 1)
    try:
        study = make_study(arguments.results, arguments.seed)
        write_files({page: study.page, key: study.key}, overwrite=arguments.overwrite)
    except StudyError as error:
        return complain(reason(error), 2)
    except OSError as error:
        return complain(reason(error), 1)
    say(f"wrote {page} ({study.n_pictures} pictures) and {key}; keep the key from the participants")
    return 0


def _opinions(arguments: argparse.Namespace) -> int:
    from recon.evaluation.reports.report import table_text
    from recon.evaluation.study.questionnaire import StudyError, opinion_scores
    from recon.io.faults import reason

    try:
        say(table_text(opinion_scores(arguments.key, arguments.answers)))
    except StudyError as error:
        return complain(reason(error), 2)
    return 0


def say(text: str) -> None:
    """A message on the standard output; names in it cannot move the cursor or break its encoding."""
    sys.stdout.write(_printable_lines(text) + "\n")


def complain(text: str, code: int) -> int:
    """A message on the standard error; gives the exit code back."""
    sys.stderr.write(f"recon: {_printable_lines(text)}\n")
    return code


def _printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
