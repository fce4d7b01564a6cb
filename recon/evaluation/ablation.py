"""Ablations: train and measure a list of configs with several seeds, and put the papers' tables beside the outcome.

A plan is a YAML file::

    train: [python, train.py, fit]          # optional; the default
    rows:
      - name: "Swin-T, ImageNet-1K, no FAM"  # a row of a printed table by its name here, or any other name
        table: 4                             # 4, 5, 6 of the reconstruction paper, or depth_losses of the third depth paper
        config: configs/swin_tiny_fam.yaml
        overrides: {model.init_args.regressor.fam: false}

Each row and seed has a folder of its own with the training's files, its log and the report of the evaluation. What is
finished is not done again, so the command may be interrupted and repeated. What would come out otherwise by now (another
config, other code, data, ...) is done again, and the former files are kept beside; see :mod:`recon.evaluation.ablation_stages`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.evaluation.ablation_stages import Runner, StageError, Tell, evaluated, n_parameters, trained
from recon.evaluation.reports import published, published_depth
from recon.evaluation.reports.provenance import fingerprint
from recon.evaluation.reports.result import Cell, Evaluation, Skipped, Table
from recon.io.base_configs import config_files, read_config
from recon.io.faults import UsageError
from recon.io.fingerprint import Fingerprint, code_hash, file_hash
from recon.io.names import folder_name, same_name

PROTOCOLS = ("scans", "synthetic", "depth")
_NEED_DATA = ("scans", "depth")
_SETTINGS = ("cooperative", "indoor", "outdoor")
_DEPTH_KEYS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "delta_1", "delta_2", "delta_3")


@dataclasses.dataclass(frozen=True)
class _PrintedTable:
    """A table of a paper: rows begin with their name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = "The paper's columns are on MICC Florence."


_MICC_COLUMNS = tuple(f"paper: {setting}, mm" for setting in _SETTINGS)
_SIZE_COLUMNS = ("paper: M", "paper: GFLOPs", *_MICC_COLUMNS)
_OF_RECONSTRUCTION = "of the reconstruction paper beside ours"
_TABLES: dict[int | str, _PrintedTable] = {
    4: _PrintedTable(f"Table 4: Swin variants {_OF_RECONSTRUCTION}", _SIZE_COLUMNS, published.SWIN_ABLATION),
    5: _PrintedTable(f"Table 5: backbones {_OF_RECONSTRUCTION}", _SIZE_COLUMNS, published.BACKBONES),
    6: _PrintedTable(f"Table 6: loss weights {_OF_RECONSTRUCTION}", _MICC_COLUMNS, published.LOSS_WEIGHTS),
    "depth_losses": _PrintedTable(
        "Loss weights of the third depth paper (Table 3: depth, SSIM, gradient, normal) beside ours; other data",
        tuple(f"paper: {name}" for name in published_depth.LOSS_COLUMNS),
        published_depth.DEPTH_LOSSES,
        "SqRel and RMSE in m. The paper's are on its own synthetic set with pixels outside the face counted as right, its unit "
        "is not certain; ours are on the face alone, without alignment.",
    ),
}
_NO_TABLE = _PrintedTable("Other configs", (), (), "")


class PlanError(UsageError):
    """A plan that cannot be carried out; the message names what is wrong."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of an ablation.

    Attributes:
        name: of the line.
        table: 4, 5, 6 or ``"depth_losses"``, or 0 for none that is printed.
        config: the training config.
        overrides: keys that differ, as the training's command line writes them.
    """

    name: str
    table: int | str
    config: Path
    overrides: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class AblationPlan:
    """What to run."""

    train: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class AblationSettings:
    """Where and how.

    Attributes:
        out: a folder for all runs.
        seeds: each row is trained with each of them.
        protocol: ``"scans"`` or ``"synthetic"`` for heads, ``"depth"`` for depth networks.
        data: of the protocols ``"scans"`` and ``"depth"``.
        count: samples of the protocol ``"synthetic"``.
    """

    out: Path
    seeds: tuple[int, ...]
    protocol: str = "synthetic"
    data: Path | None = None
    count: int = 500

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise PlanError(f"unknown protocol {self.protocol!r}; known: {', '.join(PROTOCOLS)}")
        if self.protocol in _NEED_DATA and (self.data is None or not self.data.is_dir()):
            raise PlanError(f"the protocol {self.protocol!r} needs a data folder, got {self.data}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise PlanError(f"give one or more different seeds, got {list(self.seeds)}")


@dataclasses.dataclass(frozen=True)
class AblationResult:
    """What an ablation found: tables, and the runs that failed."""

    tables: tuple[Table, ...]
    failures: tuple[Skipped, ...]


def read_plan(path: Path) -> AblationPlan:
    """A plan from YAML; configs are relative to the plan's folder.

    Raises:
        PlanError: unreadable, unknown keys, double names, or configs that do not exist.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise PlanError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list) or set(content) - {"train", "rows"}:
        raise PlanError(f"{path}: expected the keys 'rows' (a list) and perhaps 'train'")
    rows = [_row(entry, path) for entry in content["rows"]]
    names = [same_name(_folder_name(row.name)) for row in rows]
    if len(set(names)) != len(names) or not rows:
        raise PlanError(f"{path}: rows need different names, got {', '.join(row.name for row in rows) or 'none'}")
    train = content.get("train", [sys.executable, "train.py", "fit"])
    if not isinstance(train, list) or not train:
        raise PlanError(f"{path}: 'train' must be a list such as [python, train.py, fit], got {train!r}")
    return AblationPlan(tuple(str(part) for part in train), tuple(rows))


def run_ablation(
    plan: AblationPlan, settings: AblationSettings, run: Runner | None = None, tell: Tell = lambda _: None
) -> AblationResult:
    """Train and measure what is not finished yet, and make the tables of all that is.

    Args:
        plan: the rows.
        settings: seeds and protocol.
        run: runs a command; by default as a process.
        tell: is told what is done again, and why.

    Raises:
        PlanError: rows whose table is not of this protocol.
    """
    for row in plan.rows:
        if row.table != 0 and (row.table == "depth_losses") != (settings.protocol == "depth"):
            needed = "'depth'" if row.table == "depth_losses" else "'scans' or 'synthetic'"
            raise PlanError(f"row {row.name!r} of table {row.table} is measured by the protocol {needed}")
    runner = run or _run
    data = _data_hash(settings)
    failures: list[Skipped] = []
    found: dict[str, list[tuple[Evaluation, int]]] = {row.name: [] for row in plan.rows}
    for row in plan.rows:
        for seed in settings.seeds:
            place = settings.out / _folder_name(row.name) / f"seed{seed}"
            facts = train_facts(plan, row, seed)
            try:
                weights = trained(place, train_command(plan, row, seed, place), facts, runner, tell)
                measured = _measure_facts(settings, facts, weights, data)
                command = _measure_command(settings, weights, place / "evaluation")
                evaluation = evaluated(place / "evaluation", command, measured, runner, tell)
                found[row.name].append((evaluation, n_parameters(weights)))
            except StageError as error:
                failures.append(Skipped(f"{row.name}, seed {seed}", str(error)))
    return AblationResult(_tables(plan, found, settings.protocol), tuple(failures))


def train_command(plan: AblationPlan, row: Row, seed: int, place: Path) -> list[str]:
    """The command that trains a row with a seed, writing below a folder."""
    return [
        *plan.train,
        *("--config", str(row.config), "--seed_everything", str(seed)),
        *(part for key in _folder_keys(row.config) for part in (f"--{key}", str(place))),
        *(part for key, value in row.overrides for part in (f"--{key}", value)),
    ]


def train_facts(plan: AblationPlan, row: Row, seed: int) -> Fingerprint:
    """What the weights of a row and seed are made from, the config with its bases; where files lie does not matter."""
    config, *bases = config_files(row.config)
    programs = [Path(part) for part in plan.train if part != sys.executable and Path(part).is_file()]
    return Fingerprint(
        {
            "train": ["python" if part == sys.executable else part for part in plan.train],
            "program": [file_hash(path) for path in programs],
            "config": config.read_text(encoding="utf-8"),
            "base": "---\n".join(path.read_text(encoding="utf-8") for path in bases),
            "overrides": dict(row.overrides),
            "seed": seed,
            "code": code_hash(),
        }
    )


def _data_hash(settings: AblationSettings) -> str | None:
    if settings.protocol not in _NEED_DATA or settings.data is None:
        return None
    out = settings.out.resolve()
    files = [path for path in settings.data.rglob("*") if path.is_file() and out not in path.resolve().parents]
    return fingerprint(files, settings.data)


def _measure_facts(settings: AblationSettings, training: Fingerprint, weights: Path, data: str | None) -> Fingerprint:
    return Fingerprint(
        {
            "training": training.digest,
            "weights": file_hash(weights),
            "protocol": settings.protocol,
            "data": data,
            "count": settings.count if settings.protocol == "synthetic" else None,
            "code": code_hash(),
        }
    )


def _measure_command(settings: AblationSettings, weights: Path, folder: Path) -> list[str]:
    source = ["--data", str(settings.data)] if settings.protocol in _NEED_DATA else ["--count", str(settings.count)]
    method = ["--network"] if settings.protocol == "depth" else ["--method", "regress", "--checkpoint"]
    return [
        *(sys.executable, "-m", "recon.cli", "evaluate", settings.protocol, *source),
        *(*method, str(weights), "-o", str(folder), "--overwrite"),
    ]


def _tables(plan: AblationPlan, found: dict[str, list[tuple[Evaluation, int]]], protocol: str) -> tuple[Table, ...]:
    tables = []
    for number in sorted({row.table for row in plan.rows}, key=str):
        rows = [row for row in plan.rows if row.table == number]
        printed = _TABLES.get(number, _NO_TABLE)
        paper = {entry[0]: entry[1:] for entry in printed.rows}
        names = [*paper, *(row.name for row in rows if row.name not in paper)]
        lines: list[tuple[Cell, ...]] = []
        for name in names:
            known = paper.get(name, (None,) * len(printed.columns))
            lines.append((name, *known, *_own(found.get(name, []), protocol)))
        columns = ("row", *printed.columns, "ours: M", *_own_columns(protocol), "seeds")
        note = f"Ours: mean ± standard deviation over seeds. {printed.note}".strip()
        tables.append(Table(printed.title, columns, tuple(lines), note, digits=4 if protocol == "depth" else 3))
    return tuple(tables)


def _own_columns(protocol: str) -> tuple[str, ...]:
    if protocol == "scans":
        return tuple(f"ours: {setting}, mm" for setting in _SETTINGS)
    if protocol == "depth":
        return tuple(f"ours: {name}" for name in published_depth.LOSS_COLUMNS)
    return ("ours: NME, %", "ours: identity, mm", "ours: pose, degrees")


def _own(runs: Sequence[tuple[Evaluation, int]], protocol: str) -> tuple[Cell, ...]:
    if not runs:
        return (None, *(None for _ in _own_columns(protocol)), 0)
    columns = []
    if protocol == "scans":
        for setting in _SETTINGS:
            values = [e.summary("micc", lambda s, w=setting: s.labels.get("setting") == w).mean for e, _ in runs]  # type: ignore[misc]
            columns.append(_mean_std(values))
    elif protocol == "depth":
        for key in _DEPTH_KEYS:
            factor = published_depth.METRES.get(key, 1.0)
            columns.append(_mean_std([factor * e.summary(f"face_raw_{key}").mean for e, _ in runs], 4))
    else:
        columns = [_mean_std([e.summary(key).mean for e, _ in runs]) for key in ("nme2d", "identity", "pose_mae")]
    sizes = [size for _, size in runs]
    return (round(float(np.mean(sizes)) / 1e6, 2), *columns, len(runs))


def _mean_std(values: Sequence[float], digits: int = 3) -> str:
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return "–"
    return f"{np.mean(finite):.{digits}f} ± {np.std(finite):.{digits}f}"


def _folder_keys(config: Path) -> tuple[str, ...]:
    """Keys of a training config that say where it writes: its logger may have a folder of its own."""
    logger = (read_config(config).get("trainer") or {}).get("logger")
    own = isinstance(logger, dict) and "save_dir" in (logger.get("init_args") or {})
    keys = ("trainer.default_root_dir",)
    return (*keys, "trainer.logger.init_args.save_dir") if own else keys


def _row(entry: Any, path: Path) -> Row:
    if not isinstance(entry, dict) or not {"name", "config"} <= set(entry) <= {"name", "config", "table", "overrides"}:
        raise PlanError(f"{path}: a row needs 'name' and 'config', and may have 'table' and 'overrides'; got {entry!r}")
    config = path.parent / str(entry["config"])
    try:
        if not config.is_file():
            raise PlanError(f"{path}: row {entry['name']!r}: no such config: {config}")
        _folder_keys(config)
    except PlanError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        raise PlanError(f"{config}: cannot be read as a training config ({error})") from None
    table = entry.get("table", 0)
    if table not in (0, *_TABLES):
        raise PlanError(f"{path}: row {entry['name']!r}: table must be 4, 5, 6 or depth_losses, got {table!r}")
    overrides = entry.get("overrides", {})
    if not isinstance(overrides, dict):
        raise PlanError(f"{path}: row {entry['name']!r}: overrides must be keys with values, got {overrides!r}")
    return Row(str(entry["name"]), table, config, tuple((str(k), _text(v)) for k, v in overrides.items()))


def _text(value: Any) -> str:
    """A value as the training's command line reads it (YAML)."""
    return json.dumps(value) if isinstance(value, bool | list | dict) or value is None else str(value)


def _folder_name(name: str) -> str:
    return folder_name("".join(c if c.isalnum() or c in "-_." else "_" for c in name))


def _run(command: Sequence[str], log: Path) -> int:
    with open(log, "ab") as file:
        file.write(f"+ {shlex.join(command)}\n".encode())
        file.flush()
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
