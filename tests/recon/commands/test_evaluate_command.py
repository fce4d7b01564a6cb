"""``recon evaluate``: usage, exit codes, and whole runs."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.io
from PIL import Image
from skimage.data import astronaut

import recon.evaluation.predict
import recon.evaluation.reports.report
from recon.cli import main, parser


@pytest.fixture
def aflw(tmp_path):
    """A portrait with made-up labels, and a grey picture without a face."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    points = rng.uniform([[160], [60], [0]], [[290], [200], [60]], (3, 68))
    for name, pixels in (("face", astronaut()), ("grey", np.full((200, 300, 3), 120, np.uint8))):
        Image.fromarray(pixels).save(folder / f"{name}.png")
        scipy.io.savemat(folder / f"{name}.mat", {"pt3d_68": points, "Pose_Para": np.zeros((1, 7))})
    return folder


def test_a_run_reports_failures_and_can_be_compared(aflw, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", "alignment", "--data", str(aflw), "--quality", "fast", "-o", str(out)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "NME, 68 points, 2D [%]" in shown and "1 failed, the first: grey.png: no face was found" in shown
    report = json.loads((out / "report.json").read_text())
    assert [s["name"] for s in report["samples"]] == ["face.png"] and report["failures"][0]["name"] == "grey.png"
    assert report["provenance"]["n_files"] == 4 and report["provenance"]["method"].startswith("fit, quality fast")
    assert {"report.md", "curve.png", "landmarks.png", "curve.csv"} <= {p.name for p in out.iterdir()}
    assert main(arguments) == 2 and "pass --overwrite" in capsys.readouterr().err
    both = [str(out / "report.json")] * 2
    assert main(["evaluate", "compare", *both, "-o", str(tmp_path / "c.md")]) == 0
    assert "0.00" in capsys.readouterr().out and (tmp_path / "c.md").is_file()
    (tmp_path / "c.md").write_text("mine")
    assert main(["evaluate", "compare", *both, "-o", str(tmp_path / "c.md")]) == 2
    assert "pass --overwrite" in capsys.readouterr().err and (tmp_path / "c.md").read_text() == "mine"


def test_a_run_without_a_single_result_fails(aflw, tmp_path, capsys):
    (aflw / "face.png").unlink()
    (aflw / "face.mat").unlink()
    out = tmp_path / "out"
    assert main(["evaluate", "alignment", "--data", str(aflw), "--quality", "fast", "-o", str(out)]) == 1
    assert json.loads((out / "report.json").read_text())["failures"][0]["reason"].startswith("no face was found")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["alignment", "--data", "none"], "no such folder: none"),
        (["scans", "--data", ".", "--rules", "micc,nowt"], "rules must be some of micc, now, nonrigid"),
        (["scans", "--data", "."], "no subject is complete"),
        (["pose", "--data", ".", "--layout", "biwi"], "no picture with a usable label"),
        (["depth", "--data", "."], "none with a depth map"),
        (["depth", "--data", ".", "--predictions", "none"], "no such folder: none"),
        (["synthetic", "--count", "0"], "at least one sample"),
        (["synthetic", "--checkpoint", "none.safetensors"], "no such checkpoint"),
        (["synthetic", "--model", "nobody"], "nobody"),
        (["synthetic", "--device", "abacus"], "device must be"),
        (["compare", "a.json", "b.json"], "a.json: cannot be read"),
        (["ablation", "--plan", "none.yaml", "-o", "x"], "none.yaml: cannot be read"),
        (["study", "--results", "none"], "no such folder: none"),
    ],
)
def test_wrong_usage_is_refused_before_work(tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_detector_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "synthetic", "--detector", "owl"])
    told = capsys.readouterr().err
    assert end.value.code == 2 and "'owl'" in told and "'open', 'mediapipe', 'insightface'" in told


@pytest.fixture
def grey(aflw):
    """Only the picture without a face, which takes no time."""
    for suffix in (".png", ".mat"):
        (aflw / f"face{suffix}").unlink()
    return aflw


def _broken(*_, **__):
    pytest.fail("work began")


@pytest.mark.parametrize(
    ("out", "code", "text"),
    [
        ("file/out", 1, "cannot write to file/out: Not a directory; choose another folder with -o"),
        ("file", 1, "cannot write to file: "),
        ("full", 2, "full/report.md exists; choose another folder"),
    ],
)
def test_an_output_that_cannot_be_is_told_before_work(aflw, tmp_path, monkeypatch, capsys, out, code, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recon.evaluation.predict, "open_predictor", _broken)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "report.md").write_text("mine")
    assert main(["evaluate", "alignment", "--data", str(aflw), "-o", out]) == code
    assert text in capsys.readouterr().err
    assert (tmp_path / "full" / "report.md").read_text() == "mine"


def _run(arguments):
    parsed = parser().parse_args(arguments)
    return parsed.run(parsed)


def test_only_usage_is_wrong_usage(grey, tmp_path, monkeypatch):
    """Any other error goes on to the top, which writes a log."""

    def fault(*_, **__):
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr(recon.evaluation.reports.report, "markdown", fault)
    arguments = ["evaluate", "alignment", "--data", str(grey), "--quality", "fast", "-o", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="broadcast"):
        _run(arguments)


def test_a_fault_at_the_end_or_an_interrupt_loses_nothing(grey, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", "alignment", "--data", str(grey), "--quality", "fast", "-o", str(out)]
    kept = f"1 of 1 samples are kept in {out / 'report.partial.jsonl'}; the same command goes on from there"
    with monkeypatch.context() as patched:

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        patched.setattr(recon.evaluation.reports.report, "write_files", full)
        assert main(arguments) == 1
        shown = capsys.readouterr().err
        assert kept in shown and "No space left on device" in shown

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        patched.setattr(recon.evaluation.reports.report, "markdown", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            _run(arguments)
        assert caught.value.args == (kept,)
    monkeypatch.setattr("recon.reconstructor.Reconstructor.detect", _broken)
    assert main(arguments) == 1  # for nothing was measured; the report is there
    assert not (out / "report.partial.jsonl").exists() and not (out / ".facerecon").exists()
    assert json.loads((out / "report.json").read_text())["failures"][0]["name"] == "grey.png"


@pytest.mark.slow
def test_a_killed_run_goes_on_and_its_report_is_that_of_a_run_that_was_not(aflw, tmp_path):
    for copy in range(2):
        for suffix in (".png", ".mat"):
            (aflw / f"more{copy}{suffix}").write_bytes((aflw / f"face{suffix}").read_bytes())
    command = [
        sys.executable,
        "-m",
        "recon.cli",
        "evaluate",
        "alignment",
        "--data",
        str(aflw),
        "--quality",
        "fast",
        "-o",
    ]

    def lines(place):
        path = place / "report.partial.jsonl"
        return path.read_bytes().count(b"\n") - 1 if path.exists() else 0

    done = 0
    for wanted in (1, 2):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 300.0
        while lines(tmp_path / "killed") < wanted and time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL and wanted <= lines(tmp_path / "killed") < 4
        done = lines(tmp_path / "killed")
    assert done >= 2
    for place in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / place)], check=True, timeout=300, capture_output=True)
    reports = [json.loads((tmp_path / place / "report.json").read_text()) for place in ("killed", "whole")]
    for report in reports:
        for key in ("date", "seconds", "command", "hardware"):
            del report["provenance"][key]
        del report["written"]["report.md"]
    assert reports[0] == reports[1] and len(reports[0]["samples"]) == 3
    names = [{path.name for path in (tmp_path / place).iterdir()} for place in ("killed", "whole")]
    assert names[0] == names[1] and "report.partial.jsonl" not in names[0]


@pytest.mark.skipif(os.name != "posix", reason="only there can names hold such bytes")
def test_names_that_are_no_utf8_reach_report_and_terminal(grey, tmp_path):
    odd = os.fsdecode(b"gr\xe9y\x1b[2J")
    for suffix in (".png", ".mat"):
        (grey / f"grey{suffix}").rename(grey / f"{odd}{suffix}")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "recon.cli", "evaluate", "alignment", "--data", str(grey), "-o", str(out)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and b"1 failed, the first: gr\\xe9y\\x1b[2J.png: no face" in done.stdout
    assert b"\x1b[2J" not in done.stdout + done.stderr
    assert json.loads((out / "report.json").read_text("utf-8"))["failures"][0]["name"] == "gr\\xe9y\\x1b[2J.png"


def test_evaluate_alone_shows_what_there_is(capsys):
    assert main(["evaluate"]) == 2
    shown = capsys.readouterr().err
    for name in ("alignment", "scans", "pose", "depth", "synthetic", "ablation", "study", "opinions", "compare"):
        assert name in shown


def test_checkpoint_and_fit_do_not_go_together(tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(b"")
    assert (
        main(["evaluate", "synthetic", "--checkpoint", str(tmp_path / "w.safetensors"), "-o", str(tmp_path / "o")]) == 2
    )
    assert "--checkpoint is for --method regress and hybrid" in capsys.readouterr().err
