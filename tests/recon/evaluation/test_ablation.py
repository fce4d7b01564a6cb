"""Ablations with a training that takes no time."""

import json
import struct

import pytest

from recon.evaluation.ablation import AblationSettings, PlanError, read_plan, run_ablation
from recon.evaluation.provenance import Provenance
from recon.evaluation.report import write_report
from recon.evaluation.result import Evaluation, Metric, Sample

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
        ("rows: [{name: a, config: tiny.yaml, table: 7}]", "table must be 4, 5 or 6"),
        ("rows: [{name: a, config: tiny.yaml, override: {}}]", "needs 'name' and 'config'"),
        ("rows: [{name: a, config: tiny.yaml}, {name: a, config: tiny.yaml}]", "different names"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused(tmp_path, text, message):
    (tmp_path / "tiny.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(PlanError, match=message):
        read_plan(tmp_path / "plan.yaml")


def test_settings_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(PlanError, match="needs a data folder"):
        AblationSettings(tmp_path, (0,), "scans", None)
    with pytest.raises(PlanError, match="different seeds"):
        AblationSettings(tmp_path, (1, 1))
    with pytest.raises(PlanError, match="unknown protocol"):
        AblationSettings(tmp_path, (1,), "depth")
