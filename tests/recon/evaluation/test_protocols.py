"""Protocols with predictors whose errors are known."""

import dataclasses
from tokenize import TokenError

import numpy as np
import pytest
import scipy.io
import torch
from evaluation_data import angles_of, first_letter, write_aflw, write_photo, write_scans

import bfm
from recon.datasets.pose_conventions import angles_to_matrix
from recon.evaluation.aflw21 import aflw21_px
from recon.evaluation.aflw2000 import LabelError
from recon.evaluation.dense import DensePoints
from recon.evaluation.metrics.nme import box_size
from recon.evaluation.protocols.alignment import evaluate_alignment, points_px
from recon.evaluation.protocols.depth import evaluate_depth
from recon.evaluation.protocols.pose import evaluate_pose
from recon.evaluation.protocols.scans import evaluate_scans
from recon.evaluation.protocols.synthetic import evaluate_synthetic, light_error
from recon.evaluation.reports.heatmap import colour_of
from recon.evaluation.scans.scan import ScanError
from recon.io.image import read_image
from recon.lighting import ambient, lamps_to_sh
from recon.reconstructor import NoFaceError
from recon.synthesis import FaceSampler, SynthesisConfig


@pytest.fixture
def aflw(tmp_path, make_head):
    return write_aflw(tmp_path, make_head)


@pytest.fixture
def scans(tmp_path, parts, open_model):
    return write_scans(tmp_path, parts, open_model)


def test_alignment_of_the_true_head_is_zero(aflw, make_head, predictor_of):
    found = evaluate_alignment(
        aflw, predictor_of(lambda p: make_head(p, angles_to_matrix(angles_of(first_letter(p)), "300wlp")))
    )
    assert len(found.samples) == 5 and not found.failures and not found.dropped
    for metric in found.metrics:
        assert found.summary(metric.key).mean == pytest.approx(0.0, abs=2e-3), metric.key
    assert [row[5] for row in found.tables[0].rows[:3]] == [2, 1, 2]
    assert {figure.name for figure in found.figures} == {"curve", "landmarks"}
    assert found.files["curve.csv"].startswith(b"nme_percent")


def test_alignment_counts_k_percent_as_k_and_failures_as_failures(aflw, make_head, predictor_of):
    def moved(photo):
        if first_letter(photo) == "d":
            raise NoFaceError("no face was found")
        head = make_head(photo, angles_to_matrix(angles_of(first_letter(photo)), "300wlp"))
        size = box_size(points_px(head))
        return dataclasses.replace(head, camera=head.camera.cropped(-0.04 * size, 0.0))  # 4 % to the right

    found = evaluate_alignment(aflw, predictor_of(moved))
    assert [s.values["nme2d"] for s in found.samples] == pytest.approx([4.0] * 4, abs=1e-3)
    assert [s.values["nme21"] for s in found.samples] == pytest.approx([4.0] * 4, abs=1e-3)
    assert found.summary("nme2d").mean == pytest.approx(4.0, abs=1e-3)
    assert found.summary("geodesic").mean == pytest.approx(0.0, abs=1e-3)
    assert [(f.name, f.reason) for f in found.failures] == [("d.png", "no face was found")]
    bins = found.tables[0].rows
    assert [row[6] for row in bins[:4]] == [0, 0, 1, 1]
    last = found.files["curve.csv"].decode().splitlines()[-1].split(",")
    assert float(last[1]) == pytest.approx(80.0)
    dense = found.tables[3]
    assert [row[1] for row in dense.rows[-2:]] == ["68", "21"] and dense.rows[0][2:] == (2.86, 3.68, 4.76, 3.77)
    for row in dense.rows[-2:]:
        assert [value for value in row[2:] if value is not None] == pytest.approx([4.0] * 4, abs=1e-3)


def test_alignment_says_how_much_of_a_turn_is_found(aflw, make_head, predictor_of):
    def flattened(photo):
        yaw, pitch, roll = angles_of(first_letter(photo))
        return make_head(photo, angles_to_matrix(np.array([0.7 * yaw, pitch, roll]), "300wlp"))

    found = evaluate_alignment(aflw, predictor_of(flattened))
    rows = {row[0]: row[1:] for row in found.tables[1].rows}
    yaws = [abs(sample.values["yaw_true"]) for sample in found.samples]
    assert rows["yaw"] == pytest.approx((0.3 * np.mean(yaws), 0.7), abs=1e-3)
    assert rows["pitch"][0] == pytest.approx(0.0, abs=1e-3) and rows["roll"][0] == pytest.approx(0.0, abs=1e-3)


def test_alignment_tells_the_jaw_from_inner_points(aflw, make_head, predictor_of, monkeypatch):
    def moved(head):
        points = points_px(head)
        points[:17, 0] += 0.05 * box_size(points)
        return points

    monkeypatch.setattr("recon.evaluation.protocols.alignment.points_px", moved)
    found = evaluate_alignment(
        aflw, predictor_of(lambda p: make_head(p, angles_to_matrix(angles_of(first_letter(p)), "300wlp")))
    )
    assert found.summary("nme2d_jaw").mean == pytest.approx(5.0, abs=1e-2)
    assert found.summary("nme2d_inner").mean == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("name", ["478", "520"])
def test_dense_points_are_measured_where_a_data_set_brings_them(aflw, make_head, predictor_of, open_model, name):
    dense = DensePoints(open_model)
    for stem in "abc":  # two of the five bring none
        head = make_head(read_image(aflw / f"{stem}.png"), angles_to_matrix(angles_of(stem), "300wlp"))
        points = dense.pixels(head, name)
        assert points.shape == (int(name), 2)
        size = box_size(points_px(head))
        moved = points + [0.0, 0.03 * size] if stem == "b" else points
        np.save(aflw / f"{stem}_{name}.npy", np.column_stack([moved, np.zeros(len(moved))]))
    found = evaluate_alignment(
        aflw, predictor_of(lambda p: make_head(p, angles_to_matrix(angles_of(first_letter(p)), "300wlp")))
    )
    values = {sample.name[0]: sample.values.get("nme_dense") for sample in found.samples}
    assert values["a"] == pytest.approx(0.0, abs=1e-3) and values["b"] == pytest.approx(3.0, abs=1e-3)
    assert values["d"] is None and values["e"] is None
    assert found.metrics[-1].key == "nme_dense" and found.summary("nme_dense").mean == pytest.approx(1.0, abs=1e-3)
    assert any(f"({name} a face) were measured on the 3 of 5 photos" in note for note in found.notes)


def test_a_data_set_without_dense_points_is_told_and_faulty_ones_are_left_out(aflw, make_head, predictor_of):
    predictor = predictor_of(lambda p: make_head(p, angles_to_matrix(angles_of(first_letter(p)), "300wlp")))
    found = evaluate_alignment(aflw, predictor)
    assert any("Dense points were not measured: the data set brings none" in note for note in found.notes)
    assert "nme_dense" not in {metric.key for metric in found.metrics}
    np.save(aflw / "a_520.npy", np.zeros((519, 2)))
    np.save(aflw / "b_478.npy", np.full((478, 2), np.nan))
    (aflw / "c_520.npy").write_bytes(b"no array")
    reasons = {entry.name: entry.reason for entry in evaluate_alignment(aflw, predictor).dropped}
    assert "expected (520, 2) or (520, 3) pixels, found (519, 2)" in reasons["a.png"]
    assert "holds nan" in reasons["b.png"] and "cannot be read" in reasons["c.png"]


def test_ear_lobes_lie_under_the_ears_and_left_is_the_viewers(make_head, tmp_path):
    write_photo(tmp_path / "x.png")
    points = aflw21_px(make_head(read_image(tmp_path / "x.png")))
    assert points[12, 0] < points[[0, 6, 17], 0].min() and points[16, 0] > points[[5, 11, 19], 0].max()
    assert points[6:12, 1].max() < points[12, 1] < points[20, 1]
    for left, right in ((0, 5), (6, 11), (13, 15), (17, 19)):
        assert points[left, 0] < points[right, 0]


def test_alignment_reports_what_it_cannot_read(aflw, make_head, predictor_of):
    (aflw / "a.mat").write_bytes(b"MATLAB 5.0 but not really")
    scipy.io.savemat(aflw / "b.mat", {"pt3d_68": np.zeros((3, 68)), "Pose_Para": np.zeros((1, 7))})
    (aflw / "c.mat").unlink()
    (aflw / "x.mat").write_bytes(b"")
    (aflw / "e.png").write_bytes(b"broken")

    def unexpected(photo):
        raise RuntimeError("singular")

    found = evaluate_alignment(aflw, predictor_of(unexpected))
    reasons = {entry.name: entry.reason for entry in found.dropped}
    assert "not a readable MATLAB file" in reasons["a.png"] and "in one place" in reasons["b.png"]
    assert (
        "no .mat file" in reasons["c.png"] and "no picture" in reasons["x.mat"] and "not an image" in reasons["e.png"]
    )
    assert found.failures[0].reason == "RuntimeError: singular" and not found.samples
    assert found.to_json()
    with pytest.raises(LabelError, match="no such folder"):
        evaluate_alignment(aflw / "none", predictor_of(unexpected))
    (aflw / "empty").mkdir()
    with pytest.raises(LabelError, match="no picture with a .mat file"):
        evaluate_alignment(aflw / "empty", predictor_of(unexpected))


def _known_identity(photo, open_model):
    values = np.random.default_rng(int(first_letter(photo))).normal(size=open_model.n_identity)
    return torch.as_tensor(values, dtype=torch.float32)[None]


def test_scans_of_the_true_heads_are_zero_and_the_mean_head_is_not(scans, make_head, predictor_of, open_model):
    laughing = torch.zeros(1, open_model.n_expression)
    laughing[0, open_model.expression_names.index("jawOpen")] = 0.8

    def head(photo):  # its expression must be left out
        return make_head(photo, identity=_known_identity(photo, open_model), expression=laughing)

    found = evaluate_scans(scans, predictor_of(head))
    assert len(found.samples) == 2 and {s.labels["setting"] for s in found.samples} == {"photos", "indoor"}
    for key in ("micc", "micc_scaled", "now_median", "now_mean", "now_metrical_median", "nonrigid"):
        assert found.summary(key).mean < 0.02, key
        assert found.summary(f"mean_{key}").mean > 0.4, key
    assert found.summary("slope").mean == pytest.approx(1.0, abs=0.03)
    assert {figure.name for figure in found.figures} == {"now_curve", "heat_maps"}
    assert [table.title.split(":")[0] for table in found.tables][1:3] == [
        "Table 2 of the reconstruction paper beside ours",
        "NoW",
    ]


def test_scans_report_failures_and_refuse_unknown_rules(scans, make_head, predictor_of):
    (scans / "person1" / "scan.ply").write_bytes(b"ply broken")
    found = evaluate_scans(scans, predictor_of(lambda photo: 1 / 0), rules=("micc",))
    assert [entry.name for entry in found.failures] == ["person0/photos/0.png"]
    assert "ZeroDivisionError" in found.failures[0].reason
    assert "cannot be read as a mesh" in found.dropped[0].reason
    with pytest.raises(ValueError, match="rules must be some of micc, now, nonrigid, got mic"):
        evaluate_scans(scans, predictor_of(make_head), rules=("mic",))
    with pytest.raises(ScanError, match="no such folder"):
        evaluate_scans(scans / "none", predictor_of(make_head))


def test_heat_colours_run_from_the_first_to_the_last():
    colours = colour_of(np.array([0.0, 4.0, 9.0, np.nan]), 4.0)
    assert colours[0, 2] > colours[0, 0] and colours[1, 0] > colours[1, 2]
    np.testing.assert_array_equal(colours[1], colours[2])
    np.testing.assert_array_equal(colours[3], 0.6)


CLEAN = SynthesisConfig.clean(framing="free", yaw_deg=30.0, pitch_deg=20.0, roll_deg=10.0, head_share=(0.3, 0.6))


def test_synthetic_truth_has_no_error(open_model, make_head, predictor_of):
    sampler = FaceSampler(open_model, CLEAN, 5, (256, 256))

    def truth(photo):
        face = sampler[int(photo.source.split()[1])]
        return make_head(
            photo,
            camera=face.camera,
            identity=face.identity,
            expression=face.expression,
            albedo_coefficients=face.albedo,
            lighting=face.lighting,
        )

    found = evaluate_synthetic(predictor_of(truth), 3, 5, CLEAN)
    for metric in found.metrics:
        mean = found.summary(metric.key).mean
        if metric.key == "slope":
            assert mean == pytest.approx(1.0, abs=1e-3)
        elif metric.key == "mean_identity":
            assert mean > 0.5
        else:
            assert mean == pytest.approx(0.0, abs=0.02), metric.key
    with pytest.raises(ValueError, match="at least one sample"):
        evaluate_synthetic(predictor_of(truth), 0)


def test_the_light_error_knows_scale_and_direction():
    def lamp(x):
        return (0.5 * ambient(torch.ones(1, 3)) + lamps_to_sh(torch.tensor([[[x, 0.3, 1.0]]]), torch.ones(1, 1, 3)))[0]

    assert light_error(lamp(0.5), lamp(0.5)) == pytest.approx(0.0, abs=1e-6)
    assert light_error(2.0 * lamp(0.5), lamp(0.5)) == pytest.approx(0.0, abs=1e-6)
    assert 0.05 < light_error(lamp(0.5), lamp(0.0)) < light_error(lamp(0.5), lamp(-0.5)) < 1.0
    assert light_error(torch.zeros(9, 3), lamp(0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "fault",
    [IndexError("index 9 is out of bounds"), TokenError("EOF in multi-line statement"), MemoryError(), ValueError("x")],
)
def test_whatever_a_reader_raises_is_a_row(aflw, tmp_path, make_head, predictor_of, monkeypatch, fault):
    """Readers of foreign files raise more than they say; the other items must not be lost with one."""
    (aflw / "scans" / "person").mkdir(parents=True)
    (aflw / "scans" / "person" / "scan.ply").write_bytes(b"")
    marks = "-45 0 0\n-15 0 0\n15 0 0\n45 0 0\n0 -30 20\n-20 -60 0\n20 -60 0\n"
    (aflw / "scans" / "person" / "landmarks.txt").write_text(marks)
    write_photo(aflw / "scans" / "person" / "x.png")
    (aflw / "depth").mkdir()
    for name in "ab":
        write_photo(aflw / "depth" / f"{name}.png")
        np.save(aflw / "depth" / f"{name}_depth.npy", np.full((180, 240), 400.0))

    def raising(*_, **__):
        raise fault

    predictor = predictor_of(make_head)
    for reader in ("read_label", "read_image", "read_dense"):
        with monkeypatch.context() as patched:
            patched.setattr(f"recon.evaluation.protocols.alignment.{reader}", raising)
            assert len(evaluate_alignment(aflw, predictor).dropped) == 5, reader
    with monkeypatch.context() as patched:
        patched.setattr("recon.evaluation.pose_source.read_image", raising)
        assert len(evaluate_pose(aflw, predictor).failures) == 5
    with monkeypatch.context() as patched:
        patched.setattr("recon.evaluation.protocols.scans.read_scan", raising)
        assert len(evaluate_scans(aflw / "scans", predictor, ("micc",)).dropped) == 1
    with monkeypatch.context() as patched:
        patched.setattr("recon.evaluation.depth_folder.read_depth_map", raising)
        found = evaluate_depth(aflw / "depth", aflw / "depth")
        assert len(found.dropped) == 2 and found.dropped[0].reason.startswith(type(fault).__name__)
    with monkeypatch.context() as patched:
        patched.setattr("recon.evaluation.protocols.depth.read_depth_map", raising)
        assert len(evaluate_depth(aflw / "depth", aflw / "depth").failures) == 2
    with monkeypatch.context() as patched:
        patched.setattr("recon.evaluation.protocols.synthetic._face", raising)
        assert len(evaluate_synthetic(predictor, 2, 5, CLEAN).dropped) == 2


def test_heads_that_cannot_be_measured_are_rows(aflw, make_head, predictor_of):
    def odd(photo):
        head = make_head(photo)
        return dataclasses.replace(head, identity=torch.full_like(head.identity, torch.nan))

    found = evaluate_alignment(aflw, predictor_of(odd))
    assert len(found.failures) == 5 and not found.samples
    assert [row[6] for row in found.tables[0].rows[:3]] == [2, 1, 2]  # at the yaws that are known nevertheless


def test_two_pictures_of_one_name_do_not_cost_the_report(tmp_path):
    for suffix in (".png", ".jpg"):
        write_photo(tmp_path / f"a{suffix}")
    np.save(tmp_path / "a_depth.npy", np.full((180, 240), 400.0))
    found = evaluate_depth(tmp_path, tmp_path)
    assert [sample.name for sample in found.samples] == ["a"]
    assert [entry.reason for entry in found.dropped] == ["an item before it has the same name"]


def test_dense_points_that_the_model_has_not_are_told_before_the_first_photo(aflw, predictor_of, tiny_data):
    np.save(aflw / "a_478.npy", np.zeros((478, 2)))
    predictor = dataclasses.replace(
        predictor_of(lambda photo: pytest.fail("work began")), model=bfm.MorphableModel(tiny_data)
    )
    with pytest.raises(LabelError, match="has no landmark set '478'"):
        evaluate_alignment(aflw, predictor)
