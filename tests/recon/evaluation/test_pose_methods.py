"""Head pose by methods that tell nothing else: frames, calibration, conventions mixed up, and one table of all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from recon.datasets.pose_conventions import angles_to_matrix
from recon.evaluation.metrics.pose_calibration import CHI2_68, CHI2_95, calibration_rows, calibration_values
from recon.evaluation.pose_labels import find_poses
from recon.evaluation.pose_source import FoundPose, PoseSource, turned_by
from recon.evaluation.protocols.pose import evaluate_pose
from recon.evaluation.reports import published
from recon.evaluation.reports.compare import ComparisonError
from recon.evaluation.reports.pose_table import pose_table
from recon.evaluation.reports.result import Evaluation, read_evaluation
from recon.rotation import turn_to_ray

_ANGLES = {
    f"{name}.png": angles
    for name, angles in zip(
        "abcdefgh",
        [
            (30, 5, 2),
            (-40, 10, -5),
            (20, -25, 8),
            (-25, 20, 20),
            (50, 0, -10),
            (-60, -15, 5),
            (5, 30, -20),
            (-18, 6, 25),
        ],
        strict=True,
    )
}


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["picture,person,yaw,pitch,roll"]
    for number, (name, angles) in enumerate(_ANGLES.items()):
        Image.fromarray(np.full((8, 10, 3), 20 * number, np.uint8)).save(folder / name)
        lines.append(f"{name},{name[0]},{','.join(map(str, angles))}")
    (folder / "poses.csv").write_text("\n".join(lines) + "\n")
    return folder


def _source(convention="zyx", off_deg=0.0, sigma_deg=None, failing=(), method="known"):
    """Finds the rotation that a picture's grey says, read by a convention, off by a turn about y."""

    def pose(photo, near):
        name = list(_ANGLES)[round(float(photo.pixels.mean()) / 20.0)]
        if name in failing:
            raise ValueError("no face was found")
        turn = angles_to_matrix(np.array([off_deg, 0.0, 0.0]))
        covariance = None if sigma_deg is None else np.radians(sigma_deg) ** 2 / 3.0 * np.eye(3)
        return FoundPose(turn @ angles_to_matrix(np.array(_ANGLES[name], dtype=np.float64), convention), covariance)

    return PoseSource(pose, method, "none")


def test_errors_and_failures_are_counted(table):
    found = evaluate_pose(table, _source(off_deg=3.0, failing=("c.png",)), "table")
    assert found.summary("geodesic").mean == pytest.approx(3.0, abs=0.01)
    assert [failure.name for failure in found.failures] == ["c.png"]
    assert not any("another angle convention" in note for note in found.notes)
    assert all("uncertainty" not in part.title for part in found.tables)


@pytest.mark.parametrize(("labels", "truth"), [("zyx", "300wlp"), ("pointing04", "zyx"), ("xyz", "zyx")])
def test_a_mixed_up_convention_is_noticed(table, labels, truth, caplog):
    """The table is read by one convention, the heads are turned by another."""
    found = evaluate_pose(table, _source(truth, off_deg=2.0), "table", labels)
    warned = [note for note in found.notes if "another angle convention" in note]
    if labels == "xyz":  # hardly differs for these heads
        assert not warned and found.summary("geodesic").mean < 15.0
        return
    (note,) = warned
    assert f"than {labels}: of 8 turned heads" in note and f"read as {truth!r} 2.0 degrees" in note
    assert "--convention" in note and note in caplog.text


def test_a_bad_method_is_not_taken_for_a_mixed_up_convention(table):
    found = evaluate_pose(table, _source(off_deg=40.0), "table")
    assert not any("another angle convention" in note for note in found.notes)


def test_a_report_says_how_true_stated_uncertainties_are(table):
    found = evaluate_pose(table, _source(off_deg=4.0, sigma_deg=4.0), "table")
    (calibration,) = [part for part in found.tables if "uncertainty" in part.title]
    name, stated, true, chi2, in_68, in_95, count = calibration.rows[0]
    assert name == "all" and count == 8 and stated == pytest.approx(4.0) and true == pytest.approx(4.0, abs=0.01)
    assert chi2 == pytest.approx(1.0, abs=0.01) and in_68 == 1.0 and in_95 == 1.0
    sure = evaluate_pose(table, _source(off_deg=4.0, sigma_deg=1.0), "table")
    (row,) = [part for part in sure.tables if "uncertainty" in part.title][0].rows
    assert row[3] == pytest.approx(16.0, rel=0.01) and row[4] == row[5] == 0.0


def test_calibration_of_errors_that_follow_their_covariances():
    generator = torch.Generator().manual_seed(0)
    sigma, error, chi2 = [], [], []
    for k in range(3000):
        root = torch.randn(3, 3, generator=generator, dtype=torch.float64) * (0.02 + 0.04 * (k % 3))
        covariance = (root @ root.T + 1e-4 * torch.eye(3, dtype=torch.float64)).numpy()
        w = np.linalg.cholesky(covariance) @ torch.randn(3, generator=generator, dtype=torch.float64).numpy()
        base = roma.random_rotmat(dtype=torch.float64).numpy()
        true = roma.rotvec_to_rotmat(torch.from_numpy(w)).numpy() @ base
        values = calibration_values(base, true, covariance)
        sigma.append(values["sigma"])
        chi2.append(values["chi2"])
        error.append(np.degrees(np.linalg.norm(w)))
    rows = calibration_rows(np.array(sigma), np.array(error), np.array(chi2))
    assert [row[0] for row in rows] == ["all", "surest third", "middle third", "least sure third"]
    for _, stated, true, ratio, in_68, in_95, count in rows:
        assert stated == pytest.approx(true, rel=0.1) and ratio == pytest.approx(1.0, abs=0.1)
        assert in_68 == pytest.approx(0.68, abs=0.04) and in_95 == pytest.approx(0.95, abs=0.025) and count >= 1000
    assert rows[1][1] < rows[2][1] < rows[3][1]
    drawn = np.random.default_rng(0).chisquare(3, 400_000)
    assert abs((drawn < CHI2_68).mean() - 0.68) < 0.003 and abs((drawn < CHI2_95).mean() - 0.95) < 0.002


def test_a_rotation_along_the_ray_is_compared_with_labels_along_the_axis(tmp_path):
    """BIWI's labels are against the axis; the method sees the head along the ray, and knows no focal length."""
    (tmp_path / "01").mkdir()
    Image.new("RGB", (10, 8)).save(tmp_path / "01" / "frame_00003_rgb.png")
    rows = "1 0 0\n0 1 0\n0 0 1\n\n300 -100 900\n"
    (tmp_path / "01" / "frame_00003_pose.txt").write_text(rows)
    (label,), _ = find_poses(tmp_path, "biwi")
    ray = turn_to_ray(torch.tensor([[300.0, 100.0, -900.0]], dtype=torch.float64))[0].numpy()
    np.testing.assert_allclose(label.rotation_ray, ray.T)
    np.testing.assert_allclose(turned_by(label.rotation_ray, label.translation_mm), label.rotation, atol=1e-12)
    found = evaluate_pose(tmp_path, PoseSource(lambda *_: FoundPose(label.rotation_ray), "known", "none"), "biwi")
    assert found.summary("geodesic").mean < 1e-5 and found.summary("mae").mean < 1e-5
    titles = [part.title for part in found.tables]
    assert any("Backgrounds" in title for title in titles)


def test_methods_stand_in_one_table(table, tmp_path):
    def run(**changes):
        found = evaluate_pose(table, _source(**changes), "table")
        path = tmp_path / f"{changes['method']}.json"
        path.write_text(found.to_json())
        return read_evaluation(path)

    first = run(method="one", off_deg=2.0, sigma_deg=2.0)
    second = run(method="two", off_deg=5.0, failing=("a.png", "b.png"))
    made = pose_table([first, second])
    one, two = made.rows[:2]
    assert one[0] == "one" and one[5] == pytest.approx(2.0, abs=0.01) and one[7:10] == (0, 0, 8)
    assert one[10] == pytest.approx(2.0) and one[11] == 1.0
    assert two[7:10] == (2, 0, 6) and two[10] is None and two[11] is None
    shared = [s.values["mae"] for s in first.samples if s.name not in ("a.png", "b.png")]
    assert one[6] == pytest.approx(np.mean(shared)) and one[6] != one[1]
    assert [row[0] for row in made.rows[2:]] == [f"published: {row[0]}" for row in published.POSE_MAE["table"]]
    assert all(len(row) == len(made.columns) for row in made.rows) and "6 samples by all methods" in made.note

    with pytest.raises(ComparisonError, match="no report was given"):
        pose_table([])
    other = dataclasses.replace(second, protocol="pose/biwi")
    with pytest.raises(ComparisonError, match="one layout of the protocol pose .* 'pose/table' and 'pose/biwi'"):
        pose_table([first, other])
    moved = dataclasses.replace(second, provenance=dataclasses.replace(second.provenance, fingerprint="f00d"))
    with pytest.raises(ComparisonError, match="the data of 'one' and of 'two' differ"):
        pose_table([first, moved])
    nothing: Evaluation = dataclasses.replace(second, samples=())
    with pytest.raises(ComparisonError, match="share no sample"):
        pose_table([first, nothing])


def test_the_command_measures_a_method_and_puts_reports_together(astronaut, tmp_path, capsys):
    from recon.cli import main

    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(astronaut).save(data / "a.png")
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(data / "wall.png")
    (data / "poses.csv").write_text("picture,yaw,pitch,roll\na.png,-3,6,-3\nwall.png,0,0,0\n")
    out = tmp_path / "report"
    common = ["--data", str(data), "--layout", "table", "-o", str(out)]
    assert main(["evaluate", "pose", *common, "--method", "landmarks"]) == 0
    said = capsys.readouterr().out
    assert "1 failed, the first: wall.png: no face was found" in said
    report = read_evaluation(out / "report.json")
    assert report.summary("geodesic").mean < 12.0 and report.protocol == "pose/table"
    assert main(["evaluate", "pose-table", str(out / "report.json"), "-o", str(tmp_path / "t.md")]) == 0
    assert "landmarks, detector open" in (tmp_path / "t.md").read_text()
    capsys.readouterr()
    assert main(["evaluate", "pose-table", str(out / "report.json"), "-o", str(tmp_path / "t.md")]) == 2
    assert "exists; choose another file" in capsys.readouterr().err
    for arguments, message in (
        (["--method", "hopenet"], "train one with python train.py fit --config configs/pose/hopenet.yaml"),
        (["--layout", "biwi", "--convention", "zyx"], "--convention is for --layout table; biwi has its own"),
    ):
        assert main(["evaluate", "pose", *common, *arguments]) == 2
        assert message in capsys.readouterr().err
