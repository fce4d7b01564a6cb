"""Reports of an evaluation: Markdown, JSON and pictures, all from the one result object."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recon.evaluation.metrics.statistics import Summary
from recon.evaluation.reports.result import Cell, Evaluation, Table, files_of_report
from recon.io.files import write_files
from recon.io.fingerprint import file_hash
from recon.io.names import printable

_SHOWN = 30


def write_report(
    evaluation: Evaluation,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    announce: Callable[[Mapping[str, str]], None] = lambda _: None,
) -> list[Path]:
    """Write ``report.md``, ``report.json`` and the pictures into a folder, all or none.

    What an older report there had written and this one has not is removed, unless it was changed since.

    Args:
        evaluation: what was found.
        folder: made if it is missing.
        overwrite: replace a report that is there.
        announce: is told name and SHA-256 of each file, but that of ``report.json``, before the first takes its place.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    contents = {f"{figure.name}.png": figure.png for figure in evaluation.figures}
    contents |= evaluation.files
    contents["report.md"] = markdown(evaluation).encode()
    # The report knows its files, so that a later run replaces these and no others.
    written = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    contents["report.json"] = evaluation.to_json(written).encode()
    former = files_of_report(place)
    announce(written)
    paths = write_files({place / name: data for name, data in contents.items()}, overwrite=overwrite)
    for name, digest in former.items():
        if name not in contents and (place / name).is_file() and file_hash(place / name) == digest:
            (place / name).unlink()
    return paths


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown."""
    source = evaluation.provenance
    parts = [f"# {escaped(evaluation.title)}", _counts(evaluation), table_markdown(summary_table(evaluation))]
    parts += [table_markdown(table) for table in evaluation.tables]
    parts += [f"## {figure.title}\n\n![{figure.title}]({figure.name}.png)" for figure in evaluation.figures]
    if evaluation.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {escaped(note)}" for note in evaluation.notes))
    for title, entries in (("Failed predictions", evaluation.failures), ("Left out", evaluation.dropped)):
        if entries:
            lines = [f"- {code_span(entry.name)}: {escaped(entry.reason)}" for entry in entries[:_SHOWN]]
            if len(entries) > _SHOWN:
                lines.append(f"- and {len(entries) - _SHOWN} more, all in report.json")
            parts.append(f"## {title} ({len(entries)})\n\n" + "\n".join(lines))
    facts = [
        ("command", code_span(source.command)),
        ("commit", escaped(source.commit + (f", code {source.code}" if source.code else ""))),
        ("date", escaped(source.date)),
        ("method", escaped(source.method)),
        ("weights", escaped(source.weights)),
        ("data", escaped(f"{source.data}, {source.n_files} files, fingerprint {source.fingerprint}")),
        ("hardware", escaped(source.hardware)),
        ("software", escaped(source.software)),
        ("time", f"{source.seconds:.1f} s"),
    ]
    parts.append("## How to get the same again\n\n" + "\n".join(f"- {name}: {value}" for name, value in facts))
    return "\n\n".join(parts) + "\n"


def summary_table(evaluation: Evaluation) -> Table:
    """All measures: mean with its interval, standard deviation, median."""
    rows: list[tuple[Cell, ...]] = []
    for metric in evaluation.metrics:
        found = evaluation.summary(metric.key)
        unit = f" [{metric.unit}]" if metric.unit else ""
        digits = metric.digits
        rows.append(
            (
                metric.title + unit,
                number(found.mean, digits),
                interval(found, digits),
                number(found.std, digits),
                number(found.median, digits),
                found.n,
            )
        )
    return Table(
        "Summary",
        ("measure", "mean", "95 % interval of the mean", "std", "median", "samples"),
        tuple(rows),
        "Intervals are bootstrap intervals over groups (subjects where there are several photos of one).",
    )


def table_markdown(table: Table) -> str:
    """One table with its heading and note."""
    lines = [
        "| " + " | ".join(escaped(name) for name in table.columns) + " |",
        "|" + "|".join(" --- " if number_ == 0 else " ---: " for number_ in range(len(table.columns))) + "|",
    ]
    lines += ["| " + " | ".join(escaped(_cell(cell, table.digits)) for cell in row) + " |" for row in table.rows]
    note = f"\n\n{escaped(table.note)}" if table.note else ""
    return f"## {escaped(table.title)}\n\n" + "\n".join(lines) + note


def table_text(table: Table) -> str:
    """One table for a terminal: aligned columns, nothing that moves the cursor."""
    cells = [[_line(name) for name in table.columns]]
    cells += [[_line(_cell(cell, table.digits)) for cell in row] for row in table.rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    note = f"\n  {_line(table.note)}" if table.note else ""
    return f"{_line(table.title)}\n" + "\n".join(f"  {line}" for line in lines) + note


def csv_bytes(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """A CSV file (RFC 4180, but with plain line feeds); None and numbers that are not finite are empty."""

    def cell(value: Cell) -> str:
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return ""
        if isinstance(value, str):
            return _line(value)
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell(value) for value in row] for row in [columns, *rows])
    return text.getvalue().encode()


def escaped(text: str) -> str:
    """A text that Markdown shows as it is: no code, emphasis, HTML, links or table borders come of it."""
    # One backslash before each character that could begin something; "://" and "www." would become links by themselves.
    return _MARKDOWN.sub(lambda found: "".join(f"\\{character}" for character in found.group()), _line(text))


def code_span(text: str) -> str:
    """A text as code, whatever backticks are in it."""
    line = _line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    blank = " " if "`" in line else ""
    return f"{fence}{blank}{line}{blank}{fence}"


_MARKDOWN = re.compile(r"[\\`*|<>&]|(?<!\w)_|_(?!\w)|~~|!\[|\]\(|\]\[|:(?=//)|(?<=www)\.", re.IGNORECASE)


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash for nan."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def interval(found: Summary, digits: int = 2) -> str:
    """``low … high``, or a dash."""
    if not math.isfinite(found.low):
        return "–"
    return f"{found.low:.{digits}f} … {found.high:.{digits}f}"


def _counts(evaluation: Evaluation) -> str:
    n_all = len(evaluation.samples) + len(evaluation.failures)
    return (
        f"{len(evaluation.samples)} of {n_all} samples measured, {len(evaluation.failures)} predictions failed, "
        f"{len(evaluation.dropped)} left out by the protocol."
    )


def _cell(value: Cell, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value, digits)
    return str(value)


def _line(text: str) -> str:
    """As one printable line."""
    return printable(" ".join(text.split()))
