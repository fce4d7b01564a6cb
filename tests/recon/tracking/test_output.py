"""Files of a track, and the command that writes them."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_clips import LOST, SIZE, N
from PIL import Image

from recon import cli
from recon.commands import track as command
from recon.io.video import open_video
from recon.rotation import matrix_to_euler
from recon.tracking.head_track import HeadTrack
from recon.tracking.output import animation_of, write_track


@pytest.fixture
def track(made_up_track: HeadTrack) -> HeadTrack:
    return made_up_track


@pytest.fixture(scope="module")
def written(made_up_track: HeadTrack, video_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    usdz = importlib.util.find_spec("pxr") is not None
    write_track(folder, made_up_track, open_video(video_path), texture_size=64, pictures=True, usdz=usdz)
    return folder


def test_all_files_are_there(written: Path) -> None:
    names = {path.name for path in written.iterdir() if path.is_file()} - {"head.usdz"}
    assert names == {
        "head.glb",
        "coverage.png",
        "weights.csv",
        "track.json",
        "transforms.json",
        "targets.json",
        "overlay.mp4",
    }


def test_usd_has_the_motion_of_the_track(written: Path, track: HeadTrack) -> None:
    pytest.importorskip("pxr", reason="usd-core (the extra usd) is not installed")
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.Open(str(written / "head.usdz"))
    expression = UsdSkel.Animation.Get(stage, "/head/moving/expression")
    assert tuple(expression.GetBlendShapesAttr().Get()) == tuple(track.model.expression_names)
    for position in (0, 1, N - 1):
        code = stage.GetTimeCodesPerSecond() * float(track.time_s[position] - track.time_s[0])
        weights = np.array(expression.GetBlendShapeWeightsAttr().Get(code))
        np.testing.assert_allclose(weights, track.expression[position], atol=1e-5)
        place = np.array(UsdGeom.XformCache(code).GetLocalToWorldTransform(stage.GetPrimAtPath("/head/moving")))
        np.testing.assert_allclose(place[:3, :3].T, track.rotation[position], atol=1e-5)
        np.testing.assert_allclose(place[3, :3], track.translation_mm[position] / 1000.0, atol=1e-6)


def test_the_texture_says_how_much_of_it_was_seen(written: Path, track: HeadTrack, tmp_path: Path) -> None:
    coverage = np.asarray(Image.open(written / "coverage.png"))
    content = json.loads((written / "track.json").read_text())["texture"]
    assert content["frames"] == [0, 5] and 0.0 <= content["face_covered_percent"] <= 100.0
    assert coverage.shape == (64, 64) and coverage.max() <= 100
    write_track(tmp_path, track, open_video(track.source), texture_size=0)
    assert {"coverage.png", "images"}.isdisjoint(path.name for path in tmp_path.iterdir())
    assert "texture" not in json.loads((tmp_path / "track.json").read_text())


def test_the_pictures_and_masks_that_the_cameras_name(written: Path, track: HeadTrack, video_path: Path) -> None:
    frames = json.loads((written / "transforms.json").read_text())["frames"]
    pixels = {frame.index: frame.pixels for frame in open_video(video_path)}
    for frame in frames:
        number = int(track.index[frame["timestep_index"]])
        np.testing.assert_array_equal(np.asarray(Image.open(written / frame["file_path"])), pixels[number])
        mask = np.asarray(Image.open(written / frame["fg_mask_path"]))
        assert mask.shape == SIZE and set(np.unique(mask)) == {0, 255}
        # The head's middle is inside, the corners are not.
        column, row = frame["cx"] + frame["fl_x"] * 10.0 / 600.0, frame["cy"] - frame["fl_y"] * 20.0 / 600.0
        assert mask[round(row), round(column)] == 255 and not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    for place in ("images", "fg_masks"):
        assert len(list((written / place).iterdir())) == N - len(LOST)


def test_the_table(written: Path, track: HeadTrack) -> None:
    rows = list(csv.DictReader((written / "weights.csv").read_text().splitlines()))
    assert len(rows) == N and set(track.model.expression_names) <= set(rows[0])
    assert [float(row["time_s"]) for row in rows] == pytest.approx(track.time_s)
    for k, row in enumerate(rows):
        if k in LOST:
            assert row["jawOpen"] == row["yaw_deg"] == "" and row["reason"] == "no face was found"
        else:
            assert float(row["jawOpen"]) == pytest.approx(0.8 * k / (N - 1), abs=1e-5) and row["reason"] == ""
            yaw_deg = np.rad2deg(float(matrix_to_euler(torch.from_numpy(track.rotation[k]))[1]))
            assert float(row["yaw_deg"]) == pytest.approx(yaw_deg, abs=1e-3) and float(row["z_mm"]) == -600.0


def test_the_json(written: Path, track: HeadTrack) -> None:
    content = json.loads((written / "track.json").read_text())
    assert content["schema"] == "facerecon-track/1" and content["video"]["frames_with_result"] == N - 2
    assert content["video"]["cuts"] == [2] and content["video"]["notes"] == ["a note"]
    assert len(content["frames"]) == N and len(content["person"]["identity"]) == 80
    assert content["frames"][2] == {"frame": 2, "time_s": 2.08, "reason": "no face was found"}
    np.testing.assert_allclose(content["frames"][5]["rotation"], track.rotation[5], atol=1e-6)
    assert json.loads((written / "targets.json").read_text())["targetNames"] == list(track.model.expression_names)


def test_cameras_about_the_head(written: Path, track: HeadTrack) -> None:
    """A point of the head goes through the matrix of a frame to where the track's camera sees it."""
    content = json.loads((written / "transforms.json").read_text())
    assert [frame["timestep_index"] for frame in content["frames"]] == [k for k in range(N) if k not in LOST]
    point_mm = np.array([12.0, -30.0, 5.0])
    for frame in content["frames"]:
        world_to_camera = np.linalg.inv(np.array(frame["transform_matrix"]))
        x, y, z = (world_to_camera @ [*point_mm / 1000.0, 1.0])[:3]
        seen = [frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z]
        camera = track.camera(frame["timestep_index"])
        wanted = camera.to_pixels(camera.to_camera(torch.from_numpy(point_mm).float()[None, None]))[0, 0]
        np.testing.assert_allclose(seen, wanted.numpy(), atol=1e-3)


def test_the_head_is_drawn_over_the_frames_that_have_one(written: Path) -> None:
    frames = list(open_video(written / "overlay.mp4"))
    assert len(frames) == N
    for k, frame in enumerate(frames):
        changed = np.abs(frame.pixels.astype(int) - (90 + k)).max(axis=2) > 12
        assert changed[100:140, 140:190].mean() == 0.0 if k in LOST else changed[100:140, 140:190].mean() > 0.6


def test_a_lost_head_stays_where_it_was(track: HeadTrack) -> None:
    found = animation_of(track)
    assert len(found.time_s) == N - len(LOST) + 1 and found.time_s[0] == 0.0
    hold = 2  # after frames 0 and 1
    assert found.time_s[hold] == pytest.approx(4 * 0.04, abs=2e-3) and found.time_s[hold] < found.time_s[hold + 1]
    np.testing.assert_array_equal(found.rotation[hold], track.rotation[1])
    np.testing.assert_array_equal(found.rotation[hold + 1], track.rotation[4])
    assert found.field_of_view_y_rad == pytest.approx(2.0 * np.arctan(SIZE[0] / 2 / 300.0))


def run(*arguments: object) -> int:
    return cli.main(["track", *map(str, arguments)])


def test_the_command(
    track: HeadTrack,
    video_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With tracking itself replaced, which takes long and has its own tests."""
    asked: list[dict[str, object]] = []
    calls: list[Path] = []

    class MadeUp:
        model = track.model

        def __init__(self, **settings: object) -> None:
            asked.append(settings)

        def __call__(self, video: object, work: Path, progress: object) -> list[HeadTrack]:
            (work / "left.bin").write_bytes(b"work so far")
            calls.append(work)
            return [track]

    monkeypatch.setattr("recon.tracking.tracker.Tracker", MadeUp)
    (tmp_path / "text.mp4").write_text("no video")
    out = tmp_path / "out"

    def again(*more: str) -> int:
        return run(video_path, "-o", out, "--texture-size", 32, "--quality", "fast", *more)

    assert run(video_path, tmp_path / "text.mp4", "-o", out, "--texture-size", 32, "--quality", "fast") == 1
    said = capsys.readouterr().out
    assert "grey  done" in said and "text  failed" in said and "no video that can be read" in said
    assert "2 frames: no face was found" in said and "a note" in said
    assert (out / "grey" / "track.json").is_file() and not (out / ".facerecon").exists()
    assert again("--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "kept" and row["frames"] == N and len(calls) == 1
    for other in ("--causal", "--pictures"):
        assert again(other) == 1
        assert "refused" in capsys.readouterr().out
    assert again("--causal", "--pictures", "--overwrite") == 0
    assert len(calls) == 2 and calls[0] != calls[1]  # other settings work elsewhere
    assert [one["causal"] for one in asked] == [False, False, True, False, True] and asked[0]["quality"] == "fast"
    capsys.readouterr()
    assert again("--causal", "--pictures", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "kept" and len(calls) == 2
    assert len(list((out / "grey" / "fg_masks").iterdir())) == N - len(LOST)


def test_wrong_usage(tmp_path: Path, video_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "missing.mp4", "-o", tmp_path / "out") == 2
    assert run(video_path, "-o", tmp_path / "out", "--fps", 0) == 2
    assert run(video_path, "-o", tmp_path / "out", "--focal-px", -3) == 2
    said = capsys.readouterr().err
    assert "no such video" in said and "--fps" in said and "--focal-px" in said and not (tmp_path / "out").exists()


def test_a_folder_is_known_by_its_pictures(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "note.txt").write_text("a")
    before = command._content_hash(tmp_path)
    (tmp_path / "note.txt").write_text("b")
    assert command._content_hash(tmp_path) == before
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    assert command._content_hash(tmp_path) != before
