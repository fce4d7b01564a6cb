"""The result of an evaluation: one object, from which every report is made, and its JSON form."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recon.evaluation.metrics.statistics import Summary, summarise
from recon.evaluation.reports.provenance import Provenance
from recon.io.names import printable

SCHEMA = "facerecon-evaluation/1"

Cell = str | int | float | None


class ResultFileError(ValueError):
    """A file is no evaluation of a known schema."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes:
        key: its name in :attr:`Sample.values`.
        title: for people.
        unit: such as ``"mm"``, or empty.
        lower_is_better: False where more is better; None for numbers that are not a score.
        digits: after the point, in tables.
    """

    key: str
    title: str
    unit: str
    lower_is_better: bool | None = True
    digits: int = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """One thing that was measured, such as a photo.

    Attributes:
        name: unique in the evaluation, and the same in every evaluation of the data.
        group: samples of one group (a person) are not independent.
        values: by key of :class:`Metric`.
        labels: what it can be grouped by in tables.

    Names, group and labels come from file names; they are kept printable, see :func:`recon.io.names.printable`.
    """

    name: str
    group: str
    values: Mapping[str, float]
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "group", printable(self.group))
        object.__setattr__(self, "labels", {key: printable(value) for key, value in self.labels.items()})


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Something of the data that has no values: a prediction that failed, or a sample the protocol leaves out.

    Both are kept printable, see :func:`recon.io.names.printable`.
    """

    name: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "reason", printable(" ".join(self.reason.split())))


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report. Cells that are numbers are shown with ``digits`` digits; None is shown as a dash."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    digits: int = 2


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture of the report: ``name`` is the file name without ``.png``."""

    name: str
    title: str
    png: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that an evaluation found.

    Attributes:
        protocol: its name on the command line.
        title: for people.
        provenance: what was run, with what, on what.
        metrics: what the values mean, the most important first.
        samples: what was measured.
        failures: samples for which there is no prediction. They count in rates and curves, never silently.
        dropped: samples the protocol leaves out, and why.
        tables, figures, files: for the report; ``files`` are further files by name.
        notes: what a reader has to know.
    """

    protocol: str
    title: str
    provenance: Provenance
    metrics: tuple[Metric, ...]
    samples: tuple[Sample, ...]
    failures: tuple[Skipped, ...] = ()
    dropped: tuple[Skipped, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [sample.name for sample in self.samples]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"samples of an evaluation need names of their own; {twice[0]!r} comes again")

    def summary(self, key: str, chosen: Callable[[Sample], bool] | None = None) -> Summary:
        """Mean and interval of one measure over all samples, or over some; nan values are left out."""
        taken = [s for s in self.samples if key in s.values and (chosen is None or chosen(s))]
        return summarise([s.values[key] for s in taken], [s.group for s in taken])

    def to_json(self, written: Mapping[str, str] | None = None) -> str:
        """As text; nan and infinite values are null. Pictures are named only.

        Args:
            written: SHA-256 of the files that are written beside it, by name.
        """
        content = {"schema": SCHEMA, **self._fields(), "written": dict(written or {})}
        return json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n"

    def _fields(self) -> dict[str, Any]:
        content = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("figures", "files")
        }
        content["summary"] = {metric.key: dataclasses.asdict(self.summary(metric.key)) for metric in self.metrics}
        content["figures"] = [{"name": figure.name, "title": figure.title} for figure in self.figures]
        return content


def read_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """An evaluation from its ``report.json``, without pictures.

    Raises:
        ResultFileError: not readable, another schema, or parts missing.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultFileError(f"{path}: cannot be read as JSON ({error})") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise ResultFileError(
            f"{path}: expected the schema {SCHEMA!r}, found {found!r}; write it with 'recon evaluate ... -o DIR'"
        )
    try:
        return Evaluation(
            protocol=content["protocol"],
            title=content["title"],
            provenance=Provenance(**content["provenance"]),
            metrics=tuple(Metric(**entry) for entry in content["metrics"]),
            samples=tuple(
                Sample(entry["name"], entry["group"], _numbers(entry["values"]), entry["labels"])
                for entry in content["samples"]
            ),
            failures=tuple(Skipped(**entry) for entry in content["failures"]),
            dropped=tuple(Skipped(**entry) for entry in content["dropped"]),
            tables=tuple(
                Table(
                    entry["title"],
                    tuple(entry["columns"]),
                    tuple(tuple(row) for row in entry["rows"]),
                    entry["note"],
                    entry["digits"],
                )
                for entry in content["tables"]
            ),
            notes=tuple(content["notes"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ResultFileError(f"{path}: damaged or edited ({type(error).__name__}: {error})") from None


def files_of_report(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of the files that the report in a folder was written with; empty if it does not say."""
    written = raw_report(folder).get("written")
    if not isinstance(written, dict):
        return {}
    return {name: digest for name, digest in written.items() if Path(name).name == name and isinstance(digest, str)}


def raw_report(folder: Path) -> dict[str, Any]:
    """The content of ``report.json`` in a folder; empty if there is none of a known schema."""
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and content.get("schema") == SCHEMA else {}


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {key: math.nan if value is None else float(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return printable(value) if isinstance(value, str) else value
