"""Labels and depth maps of unknown origin: a damaged one is left out, with its name."""

import errno
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from bfm import isolated
from bfm.isolated import ReaderProcessError
from recon.evaluation.aflw2000 import LabelError, read_label
from recon.evaluation.dense import read_dense
from recon.evaluation.depth_folder import DepthDataError, read_depth_map
from recon.evaluation.pose_labels import find_poses
from recon.evaluation.scans.folder import find_subjects
from recon.evaluation.scans.scan import ScanError, check_scan_landmarks, read_scan_landmarks

POINTS = np.random.default_rng(0).uniform(0, 200, (3, 68))


def write_label(place, **changes):
    scipy.io.savemat(place, {"pt3d_68": POINTS, "Pose_Para": np.zeros((1, 7)), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"pt3d_68": "text"},
        {"pt3d_68": np.array([1, "x"], dtype=object)},
        {"pt3d_68": {"a": 1}},
        {"pt3d_68": 1j * POINTS},
        {"pt3d_68": 1e200 * POINTS},
        {"pt3d_68": POINTS[:2]},
        {"Pose_Para": "text"},
        {"Pose_Para": np.full((1, 7), np.inf)},
        {"pt2d": "text"},
    ],
)
def test_labels_that_are_none(tmp_path, changes):
    write_label(tmp_path / "a.mat", **changes)
    with pytest.raises(LabelError, match=r"a\.mat"):
        read_label(tmp_path / "a.jpg")


def test_a_label_that_crashes_its_parser_is_left_out_and_the_others_are_read(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(b"")
        write_label(tmp_path / f"{name}.mat", pt2d="abcdefgh" * 3)
    raw = bytearray((tmp_path / "b.mat").read_bytes())
    place = raw.index(b"abcdefgh") - 8
    raw[place : place + 4] = struct.pack("<I", 0x8010)
    (tmp_path / "b.mat").write_bytes(raw)
    for name in ("a", "c"):
        write_label(tmp_path / f"{name}.mat")
    labels, left = find_poses(tmp_path, "aflw2000")
    assert [label.name for label in labels] == ["a.jpg", "c.jpg"]
    assert [entry.name for entry in left] == ["b.jpg"] and "b.mat" in left[0].reason


def test_labels_are_not_all_left_out_because_none_can_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"")
    write_label(tmp_path / "a.mat")
    isolated._of_this_process.close()
    monkeypatch.setattr("sys.executable", "/no/python")
    with pytest.raises(ReaderProcessError, match="cannot be started"):
        find_poses(tmp_path, "aflw2000")


@pytest.mark.parametrize("text", [b"x " * 12, b"\xff\xfe", b"1e200 " * 12, b"nan " * 12, b"1 " * 12, b" " * (17 << 20)])
def test_poses_of_biwi_that_are_none(tmp_path, text):
    folder = tmp_path / "01"
    folder.mkdir()
    for name, content in (("frame_00001", b"1 0 0 0 1 0 0 0 1 0 0 0"), ("frame_00002", text)):
        (folder / f"{name}_rgb.png").write_bytes(b"")
        (folder / f"{name}_pose.txt").write_bytes(content)
    labels, left = find_poses(tmp_path, "biwi")
    assert len(labels) == 1
    assert [entry.name for entry in left] == ["01/frame_00002_rgb.png"] and "frame_00002_pose.txt" in left[0].reason


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", 60)
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n(",
        b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }\n",
        b"x",
    ],
)
def test_arrays_that_are_none(tmp_path, content):
    path = tmp_path / "a_depth.npy"
    path.write_bytes(content)
    with pytest.raises(DepthDataError, match=r"a_depth\.npy: cannot be read as a depth map"):
        read_depth_map(path)
    path.rename(tmp_path / "a_478.npy")
    with pytest.raises(LabelError, match=r"a_478\.npy: cannot be read"):
        read_dense(tmp_path / "a.jpg")


def test_dense_points_are_numbers(tmp_path):
    np.save(tmp_path / "a_478.npy", np.full((478, 2), "x"))
    with pytest.raises(LabelError, match=r"a_478\.npy: expected an array of numbers"):
        read_dense(tmp_path / "a.jpg")


def test_messages_are_one_printable_line(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9\n\x1b[31m_depth.npy")
    path.write_bytes(b"x")
    with pytest.raises(DepthDataError) as caught:
        read_depth_map(path)
    assert "caf\\xe9" in str(caught.value) and str(caught.value).isprintable()


def test_landmarks_in_one_place_or_beyond_all_are_no_face(tmp_path):
    with pytest.raises(ScanError, match="lie in one place or on one line"):
        check_scan_landmarks(np.ones((7, 3)), "x")
    (tmp_path / "landmarks.txt").write_text("1e200 1 1\n" * 7)
    with pytest.raises(ScanError, match="expected seven lines"):
        read_scan_landmarks(tmp_path / "landmarks.txt")


def test_a_subject_that_cannot_be_listed_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "scan.ply").write_bytes(b"")
    (tmp_path / "a" / "landmarks.txt").write_bytes(b"")
    list_folder = Path.iterdir

    def iterdir(folder):
        if folder.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(ScanError, match=r"a: cannot be listed \(Permission denied\)"):
        find_subjects(tmp_path)
