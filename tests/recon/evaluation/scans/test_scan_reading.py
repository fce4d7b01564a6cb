"""Scans in every state that people send them in."""

import numpy as np
import pytest
import trimesh

from recon.commands import evaluate
from recon.evaluation.depth_folder import LAYOUTS as DEPTH_LAYOUTS
from recon.evaluation.pose_labels import LAYOUTS
from recon.evaluation.protocols.scans import RULES
from recon.evaluation.scans.folder import find_subjects
from recon.evaluation.scans.scan import (
    UNITS_MM,
    ScanError,
    check_scan_landmarks,
    cleaned,
    read_scan,
    read_scan_landmarks,
)

_FRONT = np.array(
    [[-45, 26, 30], [-16, 24, 52], [16, 24, 52], [45, 26, 30], [0, -10, 59], [-25, -35, 42], [25, -35, 42.0]]
)
LANDMARKS = 60.0 * _FRONT / np.linalg.norm(_FRONT, axis=1, keepdims=True)


def write_subject(folder, scale=1.0, vertices=None, landmarks=LANDMARKS, suffix=".ply", photo=True):
    """A ball of a face with landmarks on it."""
    folder.mkdir(parents=True)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=60.0)
    ball.apply_scale(scale)
    if vertices is not None:
        ball.vertices = vertices(np.asarray(ball.vertices))
    ball.export(folder / f"scan{suffix}")
    lines = "\n".join(" ".join(map(str, row)) for row in landmarks * scale)
    (folder / "landmarks.txt").write_text("# x y z\n" + lines + "\n")
    if photo:
        (folder / "a.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl"])
def test_formats_give_the_same_surface(tmp_path, suffix):
    place = write_subject(tmp_path / "s", suffix=suffix)
    scan = read_scan(place / f"scan{suffix}", place / "landmarks.txt")
    assert len(scan.surface.vertices) == 642  # STL stores every corner apart: seams must not look like borders
    assert not scan.surface.border_faces.any()
    np.testing.assert_allclose(scan.landmarks, LANDMARKS)
    np.testing.assert_allclose(np.linalg.norm(scan.surface.vertices, axis=1), 60.0, rtol=1e-4)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1000.0), ("cm", 10.0), ("inch", 25.4)])
def test_other_units_are_noticed_named_and_read_when_stated(tmp_path, unit, factor):
    place = write_subject(tmp_path / "s", scale=1.0 / factor)
    with pytest.raises(ScanError, match=rf"\(factor {factor:g}\).*--scan-unit {unit}"):
        read_scan(place / "scan.ply", place / "landmarks.txt")
    with pytest.raises(ScanError, match=f"--scan-unit {unit}"):
        find_subjects(tmp_path)
    scan = read_scan(place / "scan.ply", place / "landmarks.txt", unit)
    np.testing.assert_allclose(scan.landmarks, LANDMARKS, rtol=1e-4)
    assert find_subjects(tmp_path, unit)[0][0].name == "s"


def test_an_impossible_size_is_refused(tmp_path):
    place = write_subject(tmp_path / "s", scale=3.0)
    with pytest.raises(ScanError, match="no known unit"):
        read_scan(place / "scan.ply", place / "landmarks.txt")


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ([3, 2, 1, 0, 4, 6, 5], "left and right are swapped"),
        ([0, 1, 2, 3, 4, 6, 5], "out of order"),
        ([1, 0, 2, 3, 4, 5, 6], "out of order"),
        ([0, 1, 2, 3, 5, 4, 6], "out of order|nose bottom"),
    ],
)
def test_swapped_landmarks_are_noticed(order, text):
    check_scan_landmarks(LANDMARKS, "here")
    with pytest.raises(ScanError, match=text):
        check_scan_landmarks(LANDMARKS[order], "here")


def test_a_mirrored_scan_is_noticed():
    with pytest.raises(ScanError, match="mirrored"):
        check_scan_landmarks(LANDMARKS * [1.0, 1.0, -1.0], "here")


def test_landmarks_in_another_frame_are_noticed(tmp_path):
    place = write_subject(tmp_path / "s")
    shifted = "\n".join(" ".join(map(str, row)) for row in LANDMARKS + 300.0)
    (place / "landmarks.txt").write_text(shifted)
    with pytest.raises(ScanError, match="off the scan scan.ply"):
        read_scan(place / "scan.ply", place / "landmarks.txt")


@pytest.mark.parametrize("text", ["", "1 2 3\n" * 6, "1 2 3\n" * 8, "1 2\n" * 7, "1 2 nan\n" * 7, "a b c\n" * 7])
def test_damaged_landmark_files_are_refused(tmp_path, text):
    path = tmp_path / "landmarks.txt"
    path.write_text(text)
    with pytest.raises(ScanError, match="expected seven lines of x y z"):
        read_scan_landmarks(path)


def test_nan_holes_and_pieces_are_left_out_or_told(tmp_path, sphere):
    vertices, faces = sphere.vertices.copy(), sphere.faces
    vertices[:5] = np.nan
    surface, notes = cleaned(vertices, faces, "x")
    assert np.isfinite(surface.vertices).all() and surface.border_faces.any()
    assert "5 vertices were nan or inf" in notes[0]
    two = np.concatenate([sphere.vertices, sphere.vertices + 500.0])
    _, notes = cleaned(two, np.concatenate([faces, faces + len(sphere.vertices)]), "x")
    assert "2 pieces" in notes[0]
    with pytest.raises(ScanError, match="no triangle has finite vertices"):
        cleaned(vertices * np.nan, faces, "x")
    with pytest.raises(ScanError, match="point cloud"):
        cleaned(vertices, np.zeros((0, 3), dtype=np.int64), "x")


def test_damaged_meshes_are_refused_with_their_name(tmp_path):
    place = write_subject(tmp_path / "s")
    for content in (b"", b"not a mesh", b"ply\nformat ascii 1.0\nend_header\n"):
        (place / "scan.ply").write_bytes(content)
        with pytest.raises(ScanError, match=r"scan\.ply"):
            read_scan(place / "scan.ply", place / "landmarks.txt")


def test_incomplete_subjects_are_left_out_with_their_reason(tmp_path):
    write_subject(tmp_path / "a")
    write_subject(tmp_path / "b", photo=False)
    (write_subject(tmp_path / "c") / "landmarks.txt").unlink()
    (write_subject(tmp_path / "d") / "scan.ply").unlink()
    (write_subject(tmp_path / "e") / "scan.obj").write_text("x")
    (write_subject(tmp_path / "f") / "landmarks.txt").write_text("1 2 3")
    place = write_subject(tmp_path / "g", photo=False)
    (place / "indoor").mkdir()
    (place / "indoor" / "x.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("extra files do no harm")
    subjects, left = find_subjects(tmp_path)
    assert [s.name for s in subjects] == ["a", "g"]
    assert subjects[1].photos == (("indoor", place / "indoor" / "x.jpg"),)
    reasons = {entry.name: entry.reason for entry in left}
    assert "no photos" in reasons["b"] and "no landmarks.txt" in reasons["c"] and "no scan file" in reasons["d"]
    assert "several scan files" in reasons["e"] and "expected seven lines" in reasons["f"]


def test_empty_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ScanError, match="no such folder"):
        find_subjects(tmp_path / "none")
    with pytest.raises(ScanError, match="no subject is complete"):
        find_subjects(tmp_path)


def test_the_command_line_offers_what_there_is():
    assert evaluate._DEPTH_LAYOUTS == DEPTH_LAYOUTS
    assert evaluate._RULES == RULES and evaluate._LAYOUTS == LAYOUTS and tuple(UNITS_MM) == evaluate._UNITS
