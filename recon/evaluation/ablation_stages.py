"""The two stages of an ablation's run, a training and its evaluation: each done once for what it is made from.

A stage whose record says the same facts is taken as it is. Otherwise it is done again, and what was there is kept under
another name: nothing is deleted.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.evaluation.reports.result import Evaluation, ResultFileError, read_evaluation
from recon.io.faults import ends_the_run, reason
from recon.io.files import write_file
from recon.io.fingerprint import Fingerprint, file_hash

WEIGHTS = "best.safetensors"

Runner = Callable[[Sequence[str], Path], int]
"""Runs a command with its output in a log file; gives the exit code."""

Tell = Callable[[str], None]
"""Is told in a sentence what is done again, and why."""


class StageError(RuntimeError):
    """A stage that did not come to its end; the message says where to look."""


def trained(place: Path, command: Sequence[str], facts: Fingerprint, run: Runner, tell: Tell) -> Path:
    """The weights of a training, which is run unless it is done.

    Args:
        place: folder of the training.
        command: trains and writes ``best.safetensors`` below ``place``.
        facts: what the weights are made from.
        run: runs the command.
        tell: is told what is done again.

    Raises:
        StageError: the training failed or left no weights.
    """
    record = place / "trained.json"
    content = _content(record)
    if _is_made_from(content, facts):
        weights = place / str(content.get("weights"))
        if weights.is_file() and file_hash(weights) == content.get("sha256"):
            return weights
        why = f"{weights.name} is missing or was changed"
    else:
        why = _why(content, facts) if record.is_file() else "an earlier training did not come to its end"
    _make_room(place, why, tell)
    log = place / "train.log"
    _run(run, command, log, "training")
    found = sorted(place.rglob(WEIGHTS), key=lambda path: path.stat().st_mtime)
    if not found:
        raise StageError(f"training wrote no {WEIGHTS} below {place}")
    made = {"facts": facts.facts, "weights": str(found[-1].relative_to(place)), "sha256": file_hash(found[-1])}
    write_file(record, (json.dumps(made, indent=1) + "\n").encode())
    return found[-1]


def evaluated(folder: Path, command: Sequence[str], facts: Fingerprint, run: Runner, tell: Tell) -> Evaluation:
    """The report of an evaluation, which is run unless it is done. One that was interrupted goes on by itself.

    Args:
        folder: of the report.
        command: writes the report.
        facts, run, tell: as for :func:`trained`.

    Raises:
        StageError: the evaluation failed, or measured nothing.
    """
    record, report, log = folder / "made_from.json", folder / "report.json", folder.parent / "evaluate.log"
    content = _content(record)
    if not _is_made_from(content, facts):
        _make_room(folder, _why(content, facts), tell)
        write_file(record, (json.dumps({"facts": facts.facts}, indent=1) + "\n").encode())
    if not report.is_file():
        _run(run, command, log, "evaluation")
    try:
        found = read_evaluation(report)
    except ResultFileError as error:
        raise StageError(str(error)) from error
    if not found.samples:
        raise StageError(f"the evaluation measured no sample; see {log}")
    return found


def n_parameters(weights: Path) -> int:
    """Numbers in a weights file: the sum of the sizes in its header (safetensors: 8 bytes length, then JSON).

    Raises:
        StageError: the file is damaged.
    """
    try:
        with open(weights, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise StageError(f"{weights} is no safetensors file ({reason(error)})") from error


def _run(run: Runner, command: Sequence[str], log: Path, what: str) -> None:
    try:
        code = run(command, log)
    except OSError as error:
        if ends_the_run(error):
            raise
        raise StageError(f"{what} could not be started: {reason(error)}") from error
    if code != 0:
        raise StageError(f"{what} ended with exit code {code}; see {log}")


def _make_room(folder: Path, why: str, tell: Tell) -> None:
    """An empty folder; what was there is kept under the first free name."""
    if folder.is_dir() and any(folder.iterdir()):
        number = 1
        while os.path.lexists(aside := folder.with_name(f"{folder.name}.old-{number}")):
            number += 1
        folder.rename(aside)
        tell(f"{folder} is made again: {why}. What was there is kept in {aside.name}")
    folder.mkdir(parents=True, exist_ok=True)


def _is_made_from(content: Mapping[str, Any], facts: Fingerprint) -> bool:
    made = content.get("facts")
    return isinstance(made, dict) and not facts.difference(made)


def _why(content: Mapping[str, Any], facts: Fingerprint) -> str:
    made = content.get("facts")
    return facts.difference(made) if isinstance(made, dict) else "it does not say what it was made from"


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
