"""Ablations with a training that takes no time."""

import json
import re
import struct
from pathlib import Path

import pytest

from losses.depth.objective import FOUR_TERM, DepthObjective
from recon.cli import main, parser
from recon.evaluation.ablation import AblationSettings, PlanError, read_plan, run_ablation
from recon.evaluation.reports import published_depth
from recon.evaluation.reports.provenance import Provenance
from recon.evaluation.reports.report import write_report
from recon.evaluation.reports.result import Evaluation, Metric, Sample

ORIGIN = Provenance("x", "abc", "2026-01-01", "cpu", "py", "fit", "open 1", "data", "f00", 4, 1.5)
PLAN = """
rows:
  - {name: "Swin-T, ImageNet-1K, FAM", table: 4, config: tiny.yaml}
  - {name: "0, 0, 1, 0, 0", table: 6, config: tiny.yaml, overrides: {model.weight: 0.5, data.flip: false}}
  - {name: "our own idea", config: tiny.yaml}
"""


class Workshop:
    """Stands in for the two commands: writes what they would write and remembers what was asked."""

    def __init__(self):
        self.trained, self.measured, self.broken = [], [], ""

    def __call__(self, command, log):
        place = log.parent
        log.write_text(" ".join(command))
        if "fit" in command:
            self.trained.append(command)
            if self.broken and self.broken in str(place):
                return 3
            header = json.dumps({"w": {"shape": [1000, 2000]}, "b": {"shape": [7]}, "__metadata__": {}}).encode()
            (place / "version_0").mkdir()
            (place / "version_0" / "best.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
            return 0
        self.measured.append(command)
        seed = int(place.name.removeprefix("seed"))
        samples = tuple(
            Sample(f"{name}{k}", name, {"micc": 1.0 + seed + k, "nme2d": 3.0 + seed}, {"setting": name})
            for name in ("cooperative", "indoor")
            for k in (0, 1)
        )
        metrics = (Metric("micc", "micc", "mm"),)
        write_report(Evaluation("scans", "t", ORIGIN, metrics, samples), place / "evaluation")
        return 0


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    return read_plan(tmp_path / "plan.yaml")


def test_rows_times_seeds_are_run_and_put_beside_the_paper(plan, tmp_path):
    work = Workshop()
    settings = AblationSettings(tmp_path / "out", (0, 2), "scans", tmp_path)
    found = run_ablation(plan, settings, work)
    assert not found.failures and len(work.trained) == len(work.measured) == 6
    assert "--seed_everything 2" in " ".join(work.trained[1])
    assert " ".join(work.trained[2]).endswith("--model.weight 0.5 --data.flip false")
    assert "--method regress" in " ".join(work.measured[0]) and "best.safetensors" in " ".join(work.measured[0])
    own, table4, table6 = found.tables
    assert own.title == "Other configs" and len(own.rows) == 1
    row = next(r for r in table4.rows if r[0] == "Swin-T, ImageNet-1K, FAM")
    assert row == (row[0], 28.0, 6.46, 1.115, 1.204, 1.166, 2.0, "2.500 ± 1.000", "2.500 ± 1.000", "–", 2)
    untouched = next(r for r in table4.rows if r[0] == "Swin-B, ImageNet-1K, FAM")
    assert untouched[-1] == 0 and untouched[3] == 0.972
    assert len(table4.rows) == 12 and len(table6.rows) == 9 and len(table6.columns) == len(table6.rows[0])


class DepthWorkshop(Workshop):
    """Measures depth: worse with every row."""

    def __call__(self, command, log):
        if "fit" in command:
            return super().__call__(command, log)
        self.measured.append(command)
        worse = len(self.measured)
        values = {
            "face_raw_abs_rel": 0.01 * worse,
            "face_raw_rmse": 10.0 * worse,
            "face_raw_sq_rel": 3.0,
            "grey_x": 1.0,
        }
        write_report(Evaluation("depth", "t", ORIGIN, (), (Sample("a", "a", values),)), log.parent / "evaluation")
        return 0


def test_the_shipped_plan_is_table_3_of_the_depth_paper(tmp_path):
    """Its config comes with the networks: here a stand-in takes its place."""
    shipped = Path(__file__).parents[3] / "configs" / "depth" / "loss_ablation.yaml"
    (tmp_path / "plan.yaml").write_text(shipped.read_text())
    (tmp_path / "face_depth.yaml").write_text("a: 1\n")
    plan, work = read_plan(tmp_path / "plan.yaml"), DepthWorkshop()
    assert [row.name for row in plan.rows] == [row[0] for row in published_depth.DEPTH_LOSSES]
    for row in plan.rows:
        ((key, text),) = row.overrides
        weights = json.loads(text)
        assert key == "model.init_args.objective.weights" and list(weights) == list(FOUR_TERM)
        assert list(weights.values()) == [float(part) for part in row.name.split(",")]
        DepthObjective({name: float(weight) for name, weight in weights.items()})
    assert json.loads(plan.rows[-1].overrides[0][1]) == dict(FOUR_TERM)
    found = run_ablation(plan, AblationSettings(tmp_path / "out", (0,), "depth", tmp_path), work)
    assert not found.failures and "--network" in work.measured[0] and "--checkpoint" not in work.measured[0]
    (table,) = found.tables
    assert "other data" in table.title and len(table.rows) == 7
    assert all(len(row) == len(table.columns) for row in table.rows)
    third = dict(zip(table.columns, table.rows[2], strict=True))
    assert third["paper: SqRel"] == 0.0011 and third["ours: RMSE"] == "0.0300 ± 0.0000"
    assert third["ours: SqRel"] == "0.0030 ± 0.0000" and third["ours: delta 1"] == "–"


def test_tables_are_measured_by_their_own_protocol(plan, tmp_path):
    work = Workshop()
    with pytest.raises(
        PlanError, match="row 'Swin-T, ImageNet-1K, FAM' of table 4 is measured by the protocol 'scans' or"
    ):
        run_ablation(plan, AblationSettings(tmp_path / "out", (0,), "depth", tmp_path), work)
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml, table: depth_losses}]")
    with pytest.raises(PlanError, match="row 'a' of table depth_losses is measured by the protocol 'depth'"):
        run_ablation(read_plan(tmp_path / "plan.yaml"), AblationSettings(tmp_path / "out", (0,)), work)
    assert not work.trained


def test_finished_work_is_not_done_again_and_half_done_work_goes_on(plan, tmp_path):
    work = Workshop()
    settings = AblationSettings(tmp_path / "out", (0,), "scans", tmp_path)
    run_ablation(plan, settings, work)
    run_ablation(plan, settings, work)
    assert len(work.trained) == len(work.measured) == 3
    report = tmp_path / "out" / "our_own_idea" / "seed0" / "evaluation" / "report.json"
    report.unlink()
    run_ablation(plan, settings, lambda command, log: work(command, log) if "fit" in command else 1)
    assert len(work.trained) == 3  # trained already: only the measuring was tried again


def _changes():
    """What makes a finished run stale: how to change it, how many trainings that costs, what is told."""
    other_config = "rows: [{name: a, config: tiny.yaml, overrides: {x: 2}}]"
    return {
        "overrides": (lambda place: (place / "plan.yaml").write_text(other_config), {}, 1, "another overrides|overrides was"),
        "config": (lambda place: (place / "tiny.yaml").write_text("a: 2\n"), {}, 1, "config was"),
        "protocol": (lambda place: None, {"protocol": "scans"}, 0, 'protocol was "synthetic", is "scans"'),
        "count": (lambda place: None, {"count": 9999}, 0, "count was 500, is 9999"),
        "code": (None, {}, 1, 'code was ".*", is "other code"'),
        "weights": (
            lambda place: next((place / "out").rglob("best.safetensors")).write_bytes(b"x"), {}, 1, "is missing or was changed"
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", ["overrides", "config", "protocol", "count", "code", "weights"])
def test_what_is_stale_is_done_again_and_the_former_files_are_kept(tmp_path, monkeypatch, what):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml, overrides: {x: 1}}]")
    work, told = Workshop(), []

    def run(**options):
        settings = AblationSettings(tmp_path / "out", (0,), **{"data": data, **options})
        outcome = run_ablation(read_plan(tmp_path / "plan.yaml"), settings, work, told.append)
        assert not outcome.failures
        return len(work.trained), len(work.measured)

    assert run() == run() == (1, 1) and not told
    files = {path.relative_to(tmp_path) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    change, options, n_trainings, text = _changes()[what]
    if what == "code":
        monkeypatch.setattr("recon.evaluation.ablation.code_hash", lambda: "other code")
    else:
        change(tmp_path)
    assert run(**options) == (1 + n_trainings, 2)
    assert len(told) == 1 and re.search(text, told[0]) and "old-1" in told[0]
    kept = sum(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert kept >= len(files) + 2, "files of the former run are gone"
    assert run(**options) == (1 + n_trainings, 2)


def test_the_base_of_a_config_is_read_and_counts(tmp_path):
    logger = "trainer: {logger: {class_path: x.TensorBoardLogger, init_args: {save_dir: runs/a}}}\n"
    (tmp_path / "base.yaml").write_text(logger)
    (tmp_path / "tiny.yaml").write_text("base: base.yaml\na: 1\n")
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml}]")
    work, told = Workshop(), []
    for content, n_trained in ((logger, 1), (logger, 1), (logger + "b: 2\n", 2)):
        (tmp_path / "base.yaml").write_text(content)
        plan = read_plan(tmp_path / "plan.yaml")
        run_ablation(plan, AblationSettings(tmp_path / "out", (0,)), work, told.append)
        assert len(work.trained) == n_trained
    assert "--trainer.logger.init_args.save_dir" in work.trained[0] and "again: another base" in told[0]
    (tmp_path / "base.yaml").unlink()
    with pytest.raises(PlanError, match=r"tiny.yaml: its base \S*base.yaml does not exist"):
        read_plan(tmp_path / "plan.yaml")


def test_other_data_is_measured_again(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "scan.obj").write_text("1")
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml}]")
    work = Workshop()
    for content, n_measured in (("1", 1), ("2", 2), ("2", 2)):
        (data / "scan.obj").write_text(content)
        run_ablation(read_plan(tmp_path / "plan.yaml"), AblationSettings(data / "out", (0,), "scans", data), work)
        assert (len(work.trained), len(work.measured)) == (1, n_measured)


def test_weights_of_a_killed_training_are_not_taken(tmp_path):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml}]")
    place = tmp_path / "out" / "a" / "seed0"
    (place / "version_0").mkdir(parents=True)
    (place / "version_0" / "best.safetensors").write_bytes(b"half trained")
    told = []
    settings = AblationSettings(tmp_path / "out", (0,))
    found = run_ablation(read_plan(tmp_path / "plan.yaml"), settings, lambda command, log: 0, told.append)
    assert "training wrote no best.safetensors" in found.failures[0].reason
    aside = place.with_name("seed0.old-1") / "version_0" / "best.safetensors"
    assert aside.read_bytes() == b"half trained" and "did not come to its end" in told[0]


def test_a_killed_evaluation_goes_on_in_its_own_folder(plan, tmp_path):
    work = Workshop()
    settings = AblationSettings(tmp_path / "out", (0,))
    place = tmp_path / "out" / "our_own_idea" / "seed0" / "evaluation"

    def killed(command, log):
        if "fit" in command or "our_own_idea" not in str(log):
            return work(command, log)
        (place / "report.partial.jsonl").write_text("kept")
        return -9

    assert "exit code -9" in run_ablation(plan, settings, killed).failures[0].reason
    assert not run_ablation(plan, settings, work).failures
    assert (place / "report.partial.jsonl").read_text() == "kept" and len(work.trained) == 3


def test_a_report_without_samples_and_damaged_weights_are_failures(plan, tmp_path):
    work = Workshop()

    def empty(command, log):
        if "fit" in command:
            return work(command, log)
        write_report(Evaluation("scans", "t", ORIGIN, (), ()), log.parent / "evaluation")
        return 0

    reasons = [entry.reason for entry in run_ablation(plan, AblationSettings(tmp_path / "a", (0,)), empty).failures]
    assert len(reasons) == 3 and all("measured no sample" in text for text in reasons)

    def damaged(command, log):
        code = work(command, log)
        for path in log.parent.rglob("best.safetensors"):
            path.write_bytes(b"\xff" * 20)
        return code

    reasons = [entry.reason for entry in run_ablation(plan, AblationSettings(tmp_path / "b", (0,)), damaged).failures]
    assert len(reasons) == 3 and all("no safetensors file" in text for text in reasons)


def test_a_command_that_is_not_there_is_a_row(tmp_path):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text("train: [no-such-program-here]\nrows: [{name: .., config: tiny.yaml}]")
    found = run_ablation(read_plan(tmp_path / "plan.yaml"), AblationSettings(tmp_path / "out", (0,)))
    assert "could not be started" in found.failures[0].reason
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml", "plan.yaml", "out"}  # ".." stays inside


def test_the_command_tells_and_refuses_before_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml}]")
    work = Workshop()
    monkeypatch.setattr("recon.evaluation.ablation._run", work)
    out = tmp_path / "out"
    arguments = ["evaluate", "ablation", "--plan", str(tmp_path / "plan.yaml"), "-o", str(out)]
    assert main(arguments) == 0 and main(arguments) == 0
    assert len(work.trained) == 1 and "Other configs" in (out / "ablation.md").read_text()
    (tmp_path / "tiny.yaml").write_text("a: 2\n")
    capsys.readouterr()
    assert main(arguments) == 0
    assert "seed0 is made again: config was" in capsys.readouterr().out
    (out / "ablation.md").write_text("my own notes")
    assert main(arguments) == 1 and "was not written by" in capsys.readouterr().err
    assert (out / "ablation.md").read_text() == "my own notes"
    (out / "ablation.md").unlink()

    def interrupt(*_):
        raise KeyboardInterrupt

    (tmp_path / "tiny.yaml").write_text("a: 3\n")
    monkeypatch.setattr("recon.evaluation.ablation._run", interrupt)
    with pytest.raises(KeyboardInterrupt, match="finished runs are kept in .*out"):
        parsed = parser().parse_args(arguments)
        parsed.run(parsed)


def test_a_failed_run_is_reported_and_the_others_go_on(plan, tmp_path):
    work = Workshop()
    work.broken = "our_own"
    found = run_ablation(plan, AblationSettings(tmp_path / "out", (0,), "scans", tmp_path), work)
    assert [(f.name, "exit code 3" in f.reason and "train.log" in f.reason) for f in found.failures] == [
        ("our own idea, seed 0", True)
    ]
    assert len(work.measured) == 2


def test_a_logger_with_a_folder_of_its_own_is_sent_to_the_run_too(tmp_path):
    logger = "trainer: {logger: {class_path: x.TensorBoardLogger, init_args: {save_dir: runs/a}}}\n"
    (tmp_path / "tiny.yaml").write_text(logger)
    (tmp_path / "plan.yaml").write_text("rows: [{name: a, config: tiny.yaml}]")
    work = Workshop()
    run_ablation(read_plan(tmp_path / "plan.yaml"), AblationSettings(tmp_path / "out", (0,)), work)
    place = str(tmp_path / "out" / "a" / "seed0")
    for key in ("--trainer.default_root_dir", "--trainer.logger.init_args.save_dir"):
        assert work.trained[0][work.trained[0].index(key) + 1] == place
    assert "--count 500" in " ".join(work.measured[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: [", "cannot be read as YAML"),
        ("rows: {}", "expected the keys"),
        ("rows: []", "different names, got none"),
        ("rows: [{name: a}]", "needs 'name' and 'config'"),
        ("rows: [{name: a, config: none.yaml}]", "no such config"),
        (f"rows: [{{name: a, config: {'n' * 300}}}]", "cannot be read as a training config"),
        ("rows: [{name: a, config: tiny.yaml, table: 7}]", "table must be 4, 5, 6 or depth_losses"),
        ("rows: [{name: a, config: tiny.yaml, override: {}}]", "needs 'name' and 'config'"),
        ("rows: [{name: a, config: tiny.yaml}, {name: a, config: tiny.yaml}]", "different names"),
        ("rows: [{name: a, config: tiny.yaml}, {name: A, config: tiny.yaml}]", "different names"),
        (
            "rows: [{name: a, config: plan.yaml}, {name: b, config: bad.yaml}]",
            "bad.yaml: cannot be read as a training config",
        ),
        ("train: python\nrows: [{name: a, config: tiny.yaml}]", "'train' must be a list"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused(tmp_path, text, message):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "bad.yaml").write_bytes(b"a: \xff")
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(PlanError, match=message):
        read_plan(tmp_path / "plan.yaml")


def test_settings_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(PlanError, match="needs a data folder"):
        AblationSettings(tmp_path, (0,), "scans", None)
    with pytest.raises(PlanError, match="different seeds"):
        AblationSettings(tmp_path, (1, 1))
    with pytest.raises(PlanError, match="'depth' needs a data folder"):
        AblationSettings(tmp_path, (0,), "depth", tmp_path / "none")
    with pytest.raises(PlanError, match="unknown protocol"):
        AblationSettings(tmp_path, (1,), "pose")
