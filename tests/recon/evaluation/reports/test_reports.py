"""Results, reports and comparisons."""

import csv
import dataclasses
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recon.evaluation.reports.compare import ComparisonError, compare
from recon.evaluation.reports.provenance import Provenance, fingerprint, provenance
from recon.evaluation.reports.report import (
    code_span,
    csv_bytes,
    escaped,
    markdown,
    table_markdown,
    table_text,
    write_report,
)
from recon.evaluation.reports.result import (
    Evaluation,
    Figure,
    Metric,
    ResultFileError,
    Sample,
    Skipped,
    Table,
    read_evaluation,
)
from recon.export import OutputExistsError
from recon.io.fingerprint import code_hash, model_hash

ORIGIN = Provenance("recon evaluate x", "abc", "2026-01-01", "cpu", "py", "fit", "open 1", "data", "f00", 4, 1.5)
METRICS = (Metric("nme", "NME", "%"), Metric("delta", "delta", "", lower_is_better=False, digits=3))


def _evaluation(shift=0.0, n_samples=12, seed=0, **changes):
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).normal(5.0, 2.0, 40)
    samples = tuple(
        Sample(
            f"p{k}", f"person{k // 2}", {"nme": float(base[k] + shift + 0.1 * rng.normal()), "delta": 0.5}, {"yaw": "0"}
        )
        for k in range(n_samples)
    )
    known = dict(
        protocol="alignment",
        title="Alignment",
        provenance=ORIGIN,
        metrics=METRICS,
        samples=samples,
        failures=(Skipped("q1", "no face"),),
        dropped=(Skipped("q2", "no | label"),),
        tables=(Table("By yaw", ("yaw", "nme"), (("0", 1.234567), ("1", None), ("2", math.nan)), "A note."),),
        figures=(Figure("curve", "Curve", b"\x89PNG"),),
        files={"curve.csv": b"a,b\n"},
        notes=("One note.",),
    )
    return Evaluation(**{**known, **changes})


def test_a_report_is_written_whole_and_read_back(tmp_path):
    one = _evaluation()
    write_report(one, tmp_path / "r")
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"report.md", "report.json", "curve.png", "curve.csv"}
    back = read_evaluation(tmp_path / "r" / "report.json")
    for field in ("protocol", "title", "provenance", "metrics", "failures", "dropped", "notes"):
        assert getattr(back, field) == getattr(one, field)
    for a, b in zip(one.samples, back.samples, strict=True):
        assert (a.name, a.group, a.labels) == (b.name, b.group, b.labels)
        assert b.values == pytest.approx(a.values, rel=1e-6)
    content = json.loads((tmp_path / "r" / "report.json").read_text())
    assert content["schema"] == "facerecon-evaluation/1"
    assert content["summary"]["nme"]["mean"] == pytest.approx(one.summary("nme").mean, rel=1e-6)
    with pytest.raises(OutputExistsError):
        write_report(one, tmp_path / "r")


def test_the_markdown_says_everything_that_matters():
    text = markdown(_evaluation())
    assert "12 of 13 samples measured, 1 predictions failed, 1 left out" in text
    assert "- `q1`: no face" in text and "- `q2`: no \\| label" in text
    assert "| 0 | 1.23 |" in text and "| 1 | – |" in text and "| 2 | – |" in text and "A note." in text
    assert "![Curve](curve.png)" in text and "- One note." in text
    for fact in ("`recon evaluate x`", "abc", "fingerprint f00", "open 1", "1.5 s"):
        assert fact in text


def test_pipes_and_line_breaks_do_not_break_tables():
    table = Table("T", ("a|b", "c"), (("x|y\nz", 1),))
    assert "x\\|y z" in table_markdown(table) and "a\\|b" in table_markdown(table)
    assert "x|y z" in table_text(table) and "a|b" in table_text(table)
    assert "\x1b" not in table_text(Table("T\x1b[2J", ("a\x1b",), (("\x1b[2J",),), "\x1b"))
    assert csv_bytes(("a", "b"), [["x,y", 1.5], [None, math.nan]]) == b'a,b\n"x,y",1.5\n,\n'


def test_csv_is_what_other_programs_read():
    cells = ['say "hi"', "a,b", "caf\udce9", "two\nlines", "plain"]
    text = csv_bytes(("a", "b", "c", "d", "e"), [cells]).decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ['say "hi"', "a,b", "caf\\xe9", "two lines", "plain"]
    assert '"say ""hi"""' in text


ODD = (
    "`code` | <script>alert(1)</script> [x](javascript:alert(1)) ![](http://e.x/y.png) **b** _e_ www.e.x \x1b[2J \udce9"
)


def test_names_and_reasons_are_nothing_but_text_in_markdown():
    one = _evaluation(
        title=ODD,
        failures=(Skipped(ODD, ODD),),
        dropped=(),
        tables=(Table(ODD, (ODD,), ((ODD,),), ODD),),
        notes=(ODD,),
        provenance=dataclasses.replace(ORIGIN, command=f"recon {ODD}", data=ODD),
    )
    text = markdown(one)
    text.encode()
    outside = re.sub(r"(`+) .*? \1(?!`)", "", text)  # without code spans
    for active in ("<script", "](java", "](http", "://", " www.", " **b", " _e_", "\x1b", "\udce9"):
        assert not re.search(r"(?<!\\)" + re.escape(active), outside), active
    for line in text.splitlines():
        if line.startswith("- `"):
            assert line.startswith("- `` `code` | <script>"), line
        if line.startswith("| \\`code"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 2, line


def test_intended_words_stay_as_they_are_in_markdown():
    for text in (
        "NME, 68 points [%]",
        "[0, 30)",
        "delta_1/4",
        "mean head: slope (1 is right)",
        "1.5 … 2.0",
        "a.jpg",
        "–",
    ):
        assert escaped(text) == text
    assert code_span("a.jpg") == "`a.jpg`"


def test_nan_values_are_null_and_come_back_as_nan(tmp_path):
    odd = _evaluation(samples=(Sample("a", "a", {"nme": math.nan, "delta": math.inf}),))
    (tmp_path / "report.json").write_text(odd.to_json())
    assert "NaN" not in odd.to_json()
    assert math.isnan(read_evaluation(tmp_path / "report.json").samples[0].values["nme"])


def test_two_samples_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'p0' comes again"):
        _evaluation(samples=(Sample("p0", "a", {}), Sample("p0", "b", {})))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "other/2"}', '{"schema": "facerecon-evaluation/1"}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ResultFileError, match=r"x\.json: (cannot be read|expected the schema|damaged)"):
        read_evaluation(path)


def test_a_clear_difference_is_seen_and_noise_is_not():
    worse = compare(_evaluation(), _evaluation(shift=0.5, seed=1))
    assert worse.rows[0][0] == "NME [%]" and worse.rows[0][5] == "worse"
    assert float(worse.rows[0][3]) == pytest.approx(0.5, abs=0.1)
    assert compare(_evaluation(shift=0.5), _evaluation(seed=1)).rows[0][5] == "better"
    # Unpaired, the spread of 2 between photos would hide 0.5 of difference; equal runs are no finding.
    assert compare(_evaluation(), _evaluation(seed=2, shift=0.0)).rows[0][5] == "not distinguishable"


def test_higher_is_better_where_the_metric_says_so():
    low, high = _evaluation(), _evaluation()
    raised = [dataclasses.replace(s, values={**s.values, "delta": 0.9}) for s in high.samples]
    table = compare(low, dataclasses.replace(high, samples=tuple(raised)))
    assert table.rows[1][5] == "better"


def test_only_shared_samples_are_compared_and_other_data_is_told():
    other = dataclasses.replace(ORIGIN, fingerprint="other")
    table = compare(_evaluation(n_samples=12), _evaluation(n_samples=8, provenance=other))
    assert table.rows[0][6] == 8
    assert "only in a: 4, only in b: 0" in table.note and "The data differ" in table.note
    with pytest.raises(ComparisonError, match="protocols differ"):
        compare(_evaluation(), _evaluation(protocol="pose"))
    with pytest.raises(ComparisonError, match="share no sample"):
        compare(_evaluation(), _evaluation(samples=(Sample("z", "z", {"nme": 1.0}),)))
    with pytest.raises(ComparisonError, match="share no measure"):
        compare(_evaluation(), _evaluation(metrics=(Metric("x", "x", ""),)))


def test_the_fingerprint_follows_names_and_contents(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("1"), b.write_text("2")
    first = fingerprint([a, b], tmp_path)
    assert fingerprint([b, a], tmp_path) == first
    b.write_text("3")
    changed = fingerprint([a, b], tmp_path)
    b.rename(tmp_path / "c.txt")
    assert len({first, changed, fingerprint([a, tmp_path / "c.txt"], tmp_path)}) == 3


def test_provenance_names_code_machine_and_weights(tmp_path, open_model):
    found = provenance("fit", model_hash(open_model), "here", ("f00", 4), 2.0)
    assert found.commit and found.code == code_hash() and "processors" in found.hardware and "torch" in found.software
    assert found.weights.startswith("open ") and len(found.weights) == len("open ") + 16


def test_files_that_are_no_utf8_in_name_have_a_fingerprint(tmp_path):
    path = tmp_path / "caf\udce9.txt"
    try:
        path.write_text("1")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    assert len(fingerprint([path], tmp_path)) == 16


def test_code_inside_a_foreign_repository_does_not_take_its_commit(tmp_path):
    """As installed into an environment in somebody's project: recon's files lie there, but are not tracked."""
    if not shutil.which("git"):
        pytest.skip("no git here")
    top = Path(__file__).resolve().parents[4]
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    (tmp_path / "theirs.txt").write_text("x")
    for arguments in (("init", "-q"), ("add", "theirs.txt"), (*author, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    installed = tmp_path / ".venv"
    for package in ("recon", "bfm", "losses"):
        ignored = shutil.ignore_patterns("__pycache__", "*.npz", "*.safetensors")
        shutil.copytree(top / package, installed / package, ignore=ignored)
    code = "from recon.evaluation.reports.provenance import code_version; print(code_version())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=installed, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    theirs = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    assert done.stdout.strip() and not theirs.startswith(done.stdout.strip()[:7])
