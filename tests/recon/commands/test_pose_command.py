"""``recon pose``: the files of each face, the table of all, and what is kept, refused and said."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from recon.cli import main
from recon.export.pose_files import CSV_COLUMNS, PoseFileError, read_pose_json, table_line
from recon.face_pose import FacePose
from recon.io.output_folder import RECORD
from recon.networks.pose.checkpoint import save_pose_network
from recon.networks.pose.sixd import SixdConfig, SixdNetwork
from recon.visualize.pose_axes import X_RGB, Y_RGB, Z_RGB, axis_ends_px, pose_axes


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "photos" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    network = SixdNetwork(SixdConfig(backbone="mobilenetv4_small_050", size=64, width=16)).eval()
    return save_pose_network(tmp_path_factory.mktemp("pose") / "sixd.safetensors", network, {})


@pytest.fixture
def pose(tmp_path, capsys):
    """Runs the command; gives its exit code, its rows and what it wrote on the standard error."""

    def run(*arguments: object) -> tuple[int, list[dict], str]:
        code = main(["pose", *(str(argument) for argument in arguments), "-o", str(tmp_path / "out"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else [], said.err

    return run


def _table(folder):
    with open(folder / "poses.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_table_hold_the_same_pose(photo, pose, tmp_path):
    code, (row,), _ = pose(photo, "--format", "json,csv")
    folder = tmp_path / "out" / "astronaut"
    assert code == 0 and sorted(os.listdir(folder)) == sorted([RECORD, "axes.png", "pose.csv", "pose.json"])
    values = read_pose_json(folder / "pose.json")
    assert values["method"] == "landmarks" and values["sigma_deg"] is None and not values["focal_known"]
    assert row["ray"] == values["ray"] and abs(row["ray"]["roll"] - 12.0) < 15.0
    (line,) = _table(tmp_path / "out")
    with open(folder / "pose.csv", encoding="utf-8") as file:
        assert file.read().splitlines()[1] == ",".join(line.values())
    assert list(line) == list(CSV_COLUMNS) and line["sigma_x"] == ""
    for key, ending in (("ray", "_ray"), ("axis", "")):
        assert float(line[f"yaw{ending}"]) == values[key]["yaw"]
        rotation = np.array([[float(line[f"r{r}{c}{ending}"]) for c in "123"] for r in "123"])
        np.testing.assert_array_equal(rotation, values[key]["rotation"])
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert values["ray"] != values["axis"]
    with Image.open(folder / "axes.png") as picture:
        assert picture.size == (512, 512)
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {X_RGB, Y_RGB, Z_RGB} <= colours


def test_photos_without_a_face_are_empty_lines(photo, pose, tmp_path):
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(photo.parent / "wall.png")
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    code, rows, said = pose(photo.parent)
    assert code == 1 and "Traceback" not in said
    lines = {line["name"]: line for line in _table(tmp_path / "out")}
    assert lines["astronaut"]["status"] == "done" and lines["astronaut"]["yaw"]
    assert "no face was found" in lines["wall"]["reason"]
    for name in ("wall", "broken"):
        told = {key: value for key, value in lines[name].items() if key not in ("name", "status", "reason")}
        assert lines[name]["status"] == "failed" and not any(told.values())


def test_finished_faces_are_in_the_table_of_a_later_run(photo, pose, tmp_path, checkpoint):
    assert pose(photo)[0] == 0
    (first,) = _table(tmp_path / "out")
    code, (row,), _ = pose(photo)
    assert code == 0 and row["status"] == "kept"
    (again,) = _table(tmp_path / "out")
    assert {**again, "status": "done"} == first
    code, (row,), _ = pose(photo, "--method", "sixd", "--checkpoint", checkpoint)
    assert code == 1 and row["status"] == "refused" and "method was" in row["reason"]
    code, (row,), _ = pose(photo, "--method", "sixd", "--checkpoint", checkpoint, "--overwrite")
    (line,) = _table(tmp_path / "out")
    assert code == 0 and line["method"] == "sixd" and float(line["sigma_y"]) == row["sigma_deg"][1] > 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "json,xyz"], "unknown pose format 'xyz'; known: json, csv"),
        (["--format", ","], "unknown pose format none"),
        (["--method", "hopenet"], "train one with python train.py fit --config configs/pose/hopenet.yaml"),
        (["--method", "sixd", "--checkpoint", "none.safetensors"], "no such checkpoint: none.safetensors"),
        (["--method", "sixd", "--checkpoint", "PHOTO"], "is damaged or no safetensors file"),
        (["--method", "fsanet", "--checkpoint", "SIXD"], "of the kind sixd, fsanet is asked for"),
        (["--checkpoint", "SIXD"], "a checkpoint is for the methods sixd, fsanet, hopenet, not for landmarks"),
        (["--detector", "mediapipe"], "needs the dense landmarks of the detector open, not mediapipe"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(photo, pose, tmp_path, checkpoint, arguments, message):
    named = {"PHOTO": photo, "SIXD": checkpoint}
    code, rows, said = pose(photo, *(named.get(argument, argument) for argument in arguments))
    assert code == 2 and rows == [] and message in said
    assert not (tmp_path / "out").exists()


def test_a_network_of_the_package_needs_no_checkpoint(photo, pose, tmp_path, checkpoint, monkeypatch):
    from recon.inference import head_pose

    monkeypatch.setitem(head_pose.DEFAULT_POSE_NETWORKS, "sixd", tmp_path / "none.safetensors")
    code, _, said = pose(photo, "--method", "sixd")
    assert code == 2 and "train one with python train.py fit --config configs/pose/sixd.yaml" in said
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(head_pose.DEFAULT_POSE_NETWORKS, "sixd", checkpoint)
    code, (row,), _ = pose(photo, "--method", "sixd")
    assert code == 0 and row["status"] == "done" and row["sigma_deg"] is not None
    # It is the same as to name the file, so the face is finished.
    assert pose(photo, "--method", "sixd", "--checkpoint", checkpoint)[1][0]["status"] == "kept"


def test_a_table_of_the_users_is_not_replaced(photo, pose, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "poses.csv").write_text("mine\n")
    code, _, said = pose(photo)
    assert code == 2 and "was not written by recon pose; move it away" in said
    assert (tmp_path / "out" / "poses.csv").read_text() == "mine\n" and os.listdir(tmp_path / "out") == ["poses.csv"]


def test_damaged_files_are_said(tmp_path):
    path = tmp_path / "pose.json"
    for text, message in (
        ("{", "no pose.json"),
        ("[]", "it lacks"),
        ('{"schema": "facerecon-pose"}', "has version None"),
    ):
        path.write_text(text)
        with pytest.raises(PoseFileError, match=message):
            read_pose_json(path)
    with pytest.raises(PoseFileError, match="the pose of x is damaged: KeyError"):
        table_line("x", "done", {})


def test_axes_point_where_the_head_does(astronaut):
    from recon.detection.face import Face
    from recon.inference.estimate_poses import estimate_poses
    from recon.rotation import euler_to_matrix

    (found,) = estimate_poses(astronaut)
    import torch

    turned = euler_to_matrix(
        torch.tensor([-0.4, 0.8, 0.0], dtype=torch.float64)
    ).numpy()  # up and to the viewer's right
    face: Face = found.face
    pose = FacePose(face, "test", turned, found.ray_cam, 1000.0, True, np.diag([0.01, 0.02, 0.03]))
    begin, ends = axis_ends_px(pose)
    assert ends[2, 0] > begin[0] + 10.0 and ends[2, 1] < begin[1] - 10.0
    assert ends[1, 1] < begin[1] and abs(ends[0, 0] - begin[0]) > 10.0
    drawn = pose_axes(astronaut, [pose])
    assert drawn.shape == astronaut.shape
    changed = np.abs(drawn.astype(int) - astronaut).max(axis=2) > 40
    x, y = np.round(0.5 * (begin + ends[2])).astype(int)
    assert changed[y - 2 : y + 3, x - 2 : x + 3].any() and not changed[-20:, -20:].any()
    large = pose_axes(np.zeros((200, 3200, 3), np.uint8), [pose])
    assert large.shape == (100, 1600, 3)
