"""``recon landmarks``: the files of each face, and what is kept, refused and said."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from recon.cli import main
from recon.commands import landmarks as command
from recon.export import read_landmarks
from recon.io.output_folder import RECORD
from recon.visualize.landmark_overlay import HIDDEN_RGB, SEEN_RGB


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "photos" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture
def landmarks(landmark_checkpoint, tmp_path, capsys):
    """Runs the command; gives its exit code, its rows and what it wrote on the standard error."""

    def run(*arguments: object) -> tuple[int, list[dict], str]:
        given = [str(argument) for argument in arguments]
        if "--detector" not in given and "--checkpoint" not in given:
            given += ["--checkpoint", str(landmark_checkpoint)]
        code = main(["landmarks", *given, "-o", str(tmp_path / "out"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else [], said.err

    return run


def test_every_format_holds_the_same_points(photo, landmarks, tmp_path):
    code, (row,), _ = landmarks(photo, "--format", "json,csv,npy,pts")
    assert code == 0 and row["status"] == "done" and row["sets"] == ["68", "478", "520"]
    folder = tmp_path / "out" / "astronaut"
    assert sorted(os.listdir(folder)) == sorted(
        [RECORD, "landmarks.csv", "landmarks.json", "landmarks_478.npy", "landmarks_520.npy", "landmarks_68.npy"]
        + ["landmarks_68.pts", "overlay.png"]
    )
    found = read_landmarks(folder / "landmarks.json")
    assert found.detector == "open, another network" and found.photo_size == (512, 512) and found.source == str(photo)
    for name, points in found.sets.items():
        assert len(points.xy_px) == int(name)
        assert np.array_equal(np.load(folder / f"landmarks_{name}.npy"), points.points_px)
        assert points.sigma_px is not None and (points.sigma_px > 0.0).all()
    assert len((folder / "landmarks.csv").read_text().splitlines()) == 1 + 68 + 478 + 520
    pts = [line.split() for line in (folder / "landmarks_68.pts").read_text().splitlines()[3:-1]]
    np.testing.assert_allclose(np.array(pts, float), found.sets["68"].xy_px + 0.5, atol=1e-4)
    with Image.open(folder / "overlay.png") as picture:
        assert picture.size == (512, 512)
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {SEEN_RGB, HIDDEN_RGB} <= colours
    assert row["visible"] == int(found.sets["520"].seen.sum()) and 0 < row["visible"] < 520


def test_finished_faces_are_kept_and_those_made_otherwise_refused(photo, landmarks, tmp_path):
    assert landmarks(photo)[0] == 0
    folder = tmp_path / "out" / "astronaut"
    before = (folder / "landmarks.json").stat().st_mtime_ns
    code, (row,), _ = landmarks(photo)
    assert code == 0 and row["status"] == "kept" and (folder / "landmarks.json").stat().st_mtime_ns == before
    code, (row,), _ = landmarks(photo, "--set", "68")
    assert code == 1 and row["status"] == "refused" and "sets was" in row["reason"]
    (folder / "mine.txt").write_text("mine")
    code, (row,), _ = landmarks(photo, "--set", "68", "--overwrite")
    assert code == 1 and "mine.txt was not written by recon" in row["reason"]
    assert len(read_landmarks(folder / "landmarks.json").sets) == 3 and (folder / "mine.txt").read_text() == "mine"
    (folder / "mine.txt").unlink()
    code, (row,), _ = landmarks(photo, "--set", "68", "--overwrite", "--format", "npy")
    assert code == 0 and sorted(os.listdir(folder)) == [RECORD, "landmarks_68.npy", "overlay.png"]


def test_photos_that_fail_are_rows_and_leave_nothing(photo, landmarks, tmp_path):
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(photo.parent / "empty.png")
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    code, rows, said = landmarks(photo.parent)
    assert code == 1 and "Traceback" not in said
    assert {row["name"]: row["status"] for row in rows} == {
        "astronaut": "done", "empty": "failed", "broken": "failed",
    }  # fmt: skip
    assert "no face was found in" in next(row["reason"] for row in rows if row["name"] == "empty")
    assert os.listdir(tmp_path / "out") == ["astronaut"]


def test_each_face_has_a_folder(photo, astronaut, landmarks, tmp_path):
    half = np.zeros_like(astronaut)
    half[:256, :256] = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    Image.fromarray(np.concatenate([astronaut, half], axis=1)).save(photo)
    code, rows, _ = landmarks(photo, "--faces", "all", "--set", "520", "--detector", "open")
    assert code == 0 and [row["name"] for row in rows] == ["astronaut", "astronaut.face2"]
    first, second = (
        read_landmarks(tmp_path / "out" / row["name"] / "landmarks.json").sets["520"].xy_px for row in rows
    )
    assert first[:, 0].max() < 512 < second[:, 0].min()
    assert [row["status"] for row in landmarks(photo, "--faces", "all", "--set", "520", "--detector", "open")[1]] == [
        "kept",
        "kept",
    ]


def test_detectors_without_uncertainty_leave_it_open(photo, landmarks, tmp_path, mediapipe):
    code, (row,), _ = landmarks(photo, "--detector", "mediapipe", "--format", "json,csv,npy")
    assert code == 0 and row["median_sigma_px"] is None and row["visible"] is None
    found = read_landmarks(tmp_path / "out" / "astronaut" / "landmarks.json")
    assert list(found.sets) == ["68", "478"] and found.sets["478"].sigma_px is None
    line = (tmp_path / "out" / "astronaut" / "landmarks.csv").read_text().splitlines()[-1]
    assert line.startswith("478,477,") and line.endswith(",,,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "json,xyz"], "unknown landmark format 'xyz'; known: json, csv, npy, pts"),
        (["--format", ","], "unknown landmark format none"),
        (["--format", "pts", "--set", "520"], "--format pts needs --set 68 or all, not 520"),
        (["--detector", "mediapipe", "--set", "520"], "the detector mediapipe gives no 520 points; it gives: 68, 478"),
        (["--detector", "mediapipe", "--checkpoint", "x"], "--checkpoint is for --detector open, not mediapipe"),
        (["--checkpoint", "none.safetensors"], "no such checkpoint: none.safetensors"),
        (["--checkpoint", "PHOTO"], "is damaged or no safetensors file"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(photo, landmarks, tmp_path, arguments, message):
    code, rows, said = landmarks(photo, *(photo if argument == "PHOTO" else argument for argument in arguments))
    assert code == 2 and rows == [] and message in said
    assert not (tmp_path / "out").exists()


def test_the_head_of_a_photo_is_not_replaced_by_its_landmarks(photo, landmarks, tmp_path):
    from recon.io.fingerprint import Fingerprint, file_hash
    from recon.io.output_folder import OutputFolder

    output = OutputFolder(tmp_path / "out")
    claim = output.claim(["astronaut"], {"source": str(photo), "sha256": file_hash(photo)}, wait=False)
    with claim:
        claim.write(0, Fingerprint({}), lambda folder: (folder / "head.glb").write_text("a head"))
    output.close()
    for more in ([], ["--overwrite"]):
        code, (row,), _ = landmarks(photo, *more)
        assert code == 1 and row["status"] == "failed"
        assert "holds another kind of result of this picture (head); choose another folder" in row["reason"]
    assert (tmp_path / "out" / "astronaut" / "head.glb").read_text() == "a head"


def test_the_table_for_people(photo, landmark_checkpoint, tmp_path, capsys):
    (photo.parent / "broken.jpg").write_bytes(b"no picture")
    arguments = ["landmarks", str(photo.parent), "-o", str(tmp_path / "out"), "--checkpoint", str(landmark_checkpoint)]
    assert main(arguments) == 1
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["face", "status", "face", "px", "score", "sigma", "px", "points", "seen"]
    assert lines[0].startswith("astronaut  done") and " of 520" in lines[0]
    assert lines[1].startswith("broken     failed  ")


def test_an_interrupted_run_says_what_is_kept_and_goes_on(photo, astronaut, landmarks, tmp_path, monkeypatch):
    Image.fromarray(astronaut[:, ::-1]).save(photo.parent / "mirrored.png")
    make = command._LandmarkWork.make

    def interrupted(self, image, face):
        if image.source.endswith("mirrored.png"):
            raise KeyboardInterrupt
        return make(self, image, face)

    monkeypatch.setattr(command._LandmarkWork, "make", interrupted)
    code, rows, said = landmarks(photo.parent)
    assert code == 130 and [row["status"] for row in rows] == ["done"]
    assert f"interrupted; 1 finished faces are kept in {tmp_path / 'out'}; the same command goes on from there" in said
    monkeypatch.undo()
    assert [row["status"] for row in landmarks(photo.parent)[1]] == ["kept", "done"]
    assert sorted(os.listdir(tmp_path / "out")) == ["astronaut", "mirrored"]
