"""Landmarks as files: what was written is what is read, in every format the same numbers."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import recon
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face
from recon.detection.landmark_sets import FaceLandmarks, LandmarkSet
from recon.export import (
    LandmarkFileError,
    read_landmarks,
    write_landmarks_csv,
    write_landmarks_json,
    write_landmarks_npy,
    write_landmarks_pts,
)
from recon.io.image import Photo
from recon.io.names import printable

PHOTO = Photo(np.zeros((30, 50, 3), np.uint8), scale=1.0 / 3.0, source="caf\udce9\n.jpg")


def a_face(**changes) -> Face:
    values = {
        "box": np.array([1.0 / 3.0, 2.0, 40.0, 29.5]),
        "points5": np.random.default_rng(0).uniform(0.0, 30.0, (5, 2)),
        "score": 0.1 + 0.2,
        "detector": "some",
        "rotation_deg": 90,
    }
    return Face(**{**values, **changes})


def dense_face() -> Face:
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(0.0, 1e4, (500, 3)), rng.normal(0.0, 1e-4, (498, 3))])
    sigma, sigma_depth = rng.uniform(0.1, 9.0, (2, 998))
    dense = DenseLandmarks(points, sigma, sigma_depth, rng.uniform(0.0, 1.0, 998), (("520", 520), ("478", 478)))
    return a_face(dense=dense, landmarks68=points[:68, :2], landmarks478=points[520:])


def mesh_face() -> Face:
    rng = np.random.default_rng(2)
    return a_face(landmarks478=rng.normal(0.0, 99.0, (478, 3)), landmarks68=rng.normal(0.0, 99.0, (68, 2)))


def assert_same(a: FaceLandmarks, b: FaceLandmarks) -> None:
    for field in dataclasses.fields(FaceLandmarks):
        if field.name not in ("box", "sets"):
            assert getattr(a, field.name) == getattr(b, field.name), field.name
    assert np.array_equal(a.box, b.box) and list(a.sets) == list(b.sets)
    for name, points in a.sets.items():
        for field in dataclasses.fields(LandmarkSet):
            one, other = getattr(points, field.name), getattr(b.sets[name], field.name)
            assert (one is None) == (other is None), (name, field.name)
            assert one is None or (one.dtype == other.dtype and np.array_equal(one, other)), (name, field.name)


def test_a_face_gives_the_sets_of_its_detector():
    landmarks = FaceLandmarks.of(dense_face(), PHOTO)
    assert {name: len(points.xy_px) for name, points in landmarks.sets.items()} == {"68": 68, "478": 478, "520": 520}
    assert np.array_equal(landmarks.sets["68"].points_px, landmarks.sets["520"].points_px[:68])
    assert landmarks.photo_size == (50, 30) and "between the eyes" in landmarks.depth_meaning
    mesh = FaceLandmarks.of(mesh_face(), PHOTO)
    assert list(mesh.sets) == ["68", "478"] and "MediaPipe" in mesh.depth_meaning
    assert mesh.sets["68"].depth_px is None and mesh.sets["478"].depth_px is not None
    assert mesh.sets["478"].sigma_px is None and mesh.sets["478"].seen.all()
    only68 = FaceLandmarks.of(a_face(landmarks68=np.zeros((68, 2))), PHOTO)
    assert list(only68.sets) == ["68"] and only68.depth_meaning == "not known"
    assert list(FaceLandmarks.of(dense_face(), PHOTO, ["520"]).sets) == ["520"]
    with pytest.raises(KeyError, match="has no landmark set '520'; it has: 68, 478"):
        FaceLandmarks.of(mesh_face(), PHOTO, ["520"])
    with pytest.raises(KeyError, match="it has: none"):
        FaceLandmarks.of(a_face(), PHOTO, ["68"])


def test_sets_that_do_not_fit_together_are_refused():
    xy = np.zeros((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"sigma_px must hold finite float32 of shape \(4,\), got float32 \(3,\)"):
        LandmarkSet(xy, sigma_px=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="xy_px must hold finite"):
        LandmarkSet(np.full((4, 2), np.nan, np.float32))


@pytest.mark.parametrize("face", [dense_face(), mesh_face()], ids=["dense", "mesh"])
def test_what_is_read_equals_what_was_written(tmp_path, face):
    landmarks = FaceLandmarks.of(face, PHOTO)
    path = write_landmarks_json(tmp_path / "landmarks.json", landmarks)
    assert_same(read_landmarks(path), landmarks)
    again = write_landmarks_json(tmp_path / "again.json", read_landmarks(path))
    assert again.read_bytes() == path.read_bytes()
    assert recon.read_landmarks is read_landmarks


def test_the_json_says_what_it_holds(tmp_path):
    landmarks = FaceLandmarks.of(mesh_face(), PHOTO)
    content = json.loads(write_landmarks_json(tmp_path / "landmarks.json", landmarks).read_text())
    assert (content["schema"], content["schema_version"]) == ("facerecon-landmarks", 1)
    assert content["photo"] == {"source": printable(PHOTO.source), "width": 50, "height": 30, "scale": 1.0 / 3.0}
    assert content["face"]["score"] == 0.1 + 0.2 and content["face"]["rotation_deg"] == 90
    assert content["face"]["box"][0] == 0.33333334, "no more digits than a float32 has"
    assert "near the middle of the head" in content["conventions"]["depth_px"]
    assert content["sets"]["68"]["depth_px"] is None and content["sets"]["478"]["sigma_px"] is None


def test_csv_and_npy_hold_the_same_numbers(tmp_path):
    for landmarks in (FaceLandmarks.of(dense_face(), PHOTO), FaceLandmarks.of(mesh_face(), PHOTO)):
        with open(write_landmarks_csv(tmp_path / "landmarks.csv", landmarks, overwrite=True), newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [
            "set", "index", "x_px", "y_px", "depth_px", "sigma_px", "sigma_depth_px", "visible",
        ]  # fmt: skip
        for name, points in landmarks.sets.items():
            own = [row for row in rows if row["set"] == name]
            assert [row["index"] for row in own] == [str(k) for k in range(len(points.xy_px))]
            wanted = {"x_px": points.xy_px[:, 0], "y_px": points.xy_px[:, 1], "depth_px": points.depth_px}
            wanted |= {field: getattr(points, field) for field in ("sigma_px", "sigma_depth_px", "visible")}
            for column, values in wanted.items():
                cells = [row[column] for row in own]
                if values is None:
                    assert set(cells) == {""}, column
                else:
                    assert np.array_equal(np.array(cells, dtype=np.float32), values), column
            array = np.load(write_landmarks_npy(tmp_path / "set.npy", points, overwrite=True), allow_pickle=False)
            assert array.dtype == np.float32 and np.array_equal(array[:, :2], points.xy_px)
            depth = points.depth_px
            assert np.isnan(array[:, 2]).all() if depth is None else np.array_equal(array[:, 2], depth)


def test_pts_files_count_pixels_from_one(tmp_path):
    # The centre of the first pixel, and of the third in the second row.
    path = write_landmarks_pts(tmp_path / "two.pts", np.array([[0.5, 0.5], [2.5, 1.5]]))
    assert path.read_text() == "version: 1\nn_points: 2\n{\n1.0000 1.0000\n3.0000 2.0000\n}\n"
    with pytest.raises(ValueError, match="finite points"):
        write_landmarks_pts(tmp_path / "nan.pts", np.array([[0.5, np.nan]]))
    assert [place.name for place in tmp_path.iterdir()] == ["two.pts"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema="facerecon-face"), "is no landmarks.json of recon"),
        (lambda c: c.update(schema_version=2), "has version 2, this recon reads 1"),
        (lambda c: c.pop("sets"), "is damaged: it lacks 'sets'"),
        (lambda c: c["sets"]["68"].pop("sigma_px"), "lacks 'sigma_px'"),
        (lambda c: c["sets"]["68"].update(xy_px=[[1.0, 2.0], [3.0]]), "is damaged"),
        (lambda c: c["sets"]["68"].update(xy_px=None), "has no points"),
        (lambda c: c["sets"]["68"].update(visible=[0.5]), r"visible must hold finite float32 of shape \(68,\)"),
        (lambda c: c["sets"]["68"].update(depth_px="deep"), "is damaged"),
        (lambda c: c["face"].update(box=[1.0, 2.0]), "a box has four numbers"),
        (lambda c: c["face"].update(score=None), "is damaged"),
        (lambda c: c.update(sets=[]), "is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, change, message):
    path = write_landmarks_json(tmp_path / "landmarks.json", FaceLandmarks.of(mesh_face(), PHOTO))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(LandmarkFileError, match=rf"landmarks\.json .*{message}"):
        read_landmarks(path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"3"])
def test_files_that_are_no_json_of_ours_are_named(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(LandmarkFileError, match=r"x\.json"):
        read_landmarks(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError):
        read_landmarks(tmp_path / "none.json")
