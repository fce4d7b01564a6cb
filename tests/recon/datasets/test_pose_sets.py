"""Head pose sets: Pointing'04, tables of angles, the conventions of all, and the labels that protocols take from them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recon.datasets import DamagedSample, Pointing04Reader, PoseTableReader
from recon.datasets.biwi import BiwiPose
from recon.datasets.pointing04 import parsed_name
from recon.datasets.pose_conventions import CONVENTIONS, angles_to_matrix, matrix_to_angles, readings
from recon.evaluation.aflw2000 import LabelError
from recon.evaluation.metrics.pose import geodesic_deg
from recon.evaluation.pose_labels import find_poses


def _picture(path, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)


def test_a_published_biwi_matrix_has_the_published_angles():
    """By the formula of the field: yaw -52.376, pitch -54.920, roll 41.554."""
    rows = [[0.45684, -0.404949, -0.792031], [-0.103806, 0.860022, -0.499587], [0.883471, 0.310449, 0.350856]]
    pose = BiwiPose(np.array(rows), np.zeros(3))
    assert pose.angles_deg.round(3).tolist() == [-52.376, -54.920, 41.554]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_are_inverted(convention):
    angles = np.array([35.0, -20.0, 0.0 if convention == "pointing04" else 15.0])
    rotation = angles_to_matrix(angles, convention)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrix_to_angles(rotation, convention), angles, atol=1e-9)
    np.testing.assert_array_equal(readings(angles)[convention], rotation)


def test_pointing04_looks_up_and_to_its_own_left():
    up_left = angles_to_matrix(np.array([-45.0, 30.0, 0.0]), "pointing04")
    gaze = up_left @ [0.0, 0.0, 1.0]
    assert gaze[1] > 0.3 and gaze[0] > 0.3  # y up; the person's left is the viewer's right
    across = up_left @ [1.0, 0.0, 0.0]
    assert abs(across[1]) < 1e-12  # no roll


def test_readings_differ_for_a_turned_head():
    """But for 300W-LP's and BIWI's, whose angles have the same signs by two different ways."""
    found = readings(np.array([30.0, 20.0, 10.0]))
    names = list(found)
    same = {
        (first, second)
        for k, first in enumerate(names)
        for second in names[k + 1 :]
        if geodesic_deg(found[first], found[second]) < 1.0
    }
    assert same == {("300wlp", "biwi")}


def test_names_of_pointing04(tmp_path):
    _picture(tmp_path / "Person08" / "personne08123-30+45.jpg")
    _picture(tmp_path / "Person08" / "person08192+90+0.jpg")
    _picture(tmp_path / "Person08" / "personne08124-31+45.jpg")
    _picture(tmp_path / "Front" / "other.jpg")
    reader = Pointing04Reader(tmp_path)
    records = list(reader)
    assert [record.published_angles_deg for record in records] == [(0.0, 90.0, 0.0), (45.0, -30.0, 0.0)]
    assert all(record.identity_number == 8 for record in records)
    assert "no tilt -31 with pan 45" in reader.faults[0].reason
    told = parsed_name("a/personne15200+0-75.jpg")
    assert (told.person, told.series, told.number, told.tilt_deg, told.pan_deg) == (15, 2, 0, 0.0, -75.0)
    with pytest.raises(DamagedSample, match=r"not like personne08123-30\+45.jpg"):
        parsed_name("me.jpg")
    with pytest.raises(FileNotFoundError, match="holds no pictures named like personne"):
        Pointing04Reader(tmp_path / "Front")
    labels, left = find_poses(tmp_path, "pointing04")
    assert [label.group for label in labels] == ["08", "08"] and len(left) == 1
    np.testing.assert_allclose(labels[1].rotation, angles_to_matrix(np.array([45.0, -30.0, 0.0]), "pointing04"))


def test_a_table_of_angles(tmp_path):
    _picture(tmp_path / "p1" / "a.png")
    _picture(tmp_path / "p2" / "b.png")
    (tmp_path / "poses.csv").write_text(
        "picture,person,yaw,pitch,roll\np1/a.png,1,10,-20,5.5\np2/b.png,2,nan,0,0\np2/b.png,2,x,0,0\n../c.png,3,1,2,3\n"
    )
    reader = PoseTableReader(tmp_path, "biwi")
    (record,) = list(reader)
    assert record.published_angles_deg == (10.0, -20.0, 5.5) and record.identity_number == 1
    assert [fault.reason.split()[0] for fault in reader.faults] == ["poses.csv", "poses.csv", "the"]
    labels, left = find_poses(tmp_path, "table", "biwi")
    assert labels[0].group == "1" and len(left) == 3
    np.testing.assert_allclose(labels[0].rotation, angles_to_matrix(np.array([10.0, -20.0, 5.5]), "biwi"))
    with pytest.raises(ValueError, match="unknown angle convention 'left'; known: zyx"):
        PoseTableReader(tmp_path, "left")
    with pytest.raises(ValueError, match="the layout biwi has its own angle convention"):
        find_poses(tmp_path, "biwi", "zyx")
    (tmp_path / "poses.csv").write_text("name,yaw\n")
    with pytest.raises(ValueError, match="lacks the columns picture, pitch, roll; it has name, yaw"):
        PoseTableReader(tmp_path)
    with pytest.raises(LabelError, match=r"holds no poses.csv"):
        find_poses(tmp_path / "p1", "table")


def test_biwi_frames_without_their_other_half_are_left_out(tmp_path):
    rows = "1 0 0\n0 1 0\n0 0 1\n\n300 -100 900\n"
    for number in ("00003", "00004"):
        _picture(tmp_path / "07" / f"frame_{number}_rgb.png")
    for number in ("00003", "00005"):
        (tmp_path / "07" / f"frame_{number}_pose.txt").write_text(rows)
    (label,), left = find_poses(tmp_path, "biwi")
    assert label.name == "07/frame_00003_rgb.png"
    reasons = {entry.name: entry.reason for entry in left}
    assert "the picture is missing" in reasons["07/frame_00005_rgb.png"]
    assert "cannot be read" in reasons["07/frame_00004_rgb.png"]
    # A head beside the axis that faces along it looks past the camera: seen along the ray it is turned away from the middle.
    np.testing.assert_allclose(label.translation_mm, [300.0, 100.0, -900.0])
    gaze = label.rotation_ray @ [0.0, 0.0, 1.0]
    assert gaze[0] > 0.2 and gaze[1] > 0.05
