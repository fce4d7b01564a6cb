"""``recon evaluate``: usage, exit codes, and whole runs."""

import json

import numpy as np
import pytest
import scipy.io
from PIL import Image
from skimage.data import astronaut

from recon.cli import main
from recon.datasets import C3iReader
from recon.evaluation.pose_errors import geodesic_deg
from recon.evaluation.pose_labels import find_poses


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
        (["synthetic", "--detector", "owl"], "owl"),
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


@pytest.mark.slow
def test_poses_agree_with_the_reader_on_a_written_set(tmp_path):
    """Two readers of the same files, written apart from each other."""
    assert (
        main(["synthesize", "-o", str(tmp_path), "--count", "3", "--layout", "c3i", "--clean", "--size", "96x128"]) == 0
    )
    records = list(C3iReader(tmp_path))
    labels = {label.name: label for label in find_poses(tmp_path, "c3i")[0]}
    assert len(records) == len(labels) == 3
    for record in records:
        assert geodesic_deg(labels[record.name].rotation, record.rotation.astype(np.float64)) < 0.02
