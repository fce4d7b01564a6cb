"""``recon pose`` with videos: a row a frame and person, empty rows with a reason, what is kept and what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

from recon.cli import main
from recon.commands.pose_video import split_videos
from recon.export.pose_video_files import VIDEO_COLUMNS
from recon.io.faults import UsageError
from recon.io.video import Frame, open_video
from recon.io.write_video import VideoWriter

_N = 9
_EMPTY = (3, 4)


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory):
    """A face that moves to the right; two frames in the middle show a wall."""
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    with VideoWriter(path, 25.0) as writer:
        for k in range(_N):
            shown = astronaut[0:240, 100 - 3 * k : 360 - 3 * k]
            writer.write(np.full_like(shown, 120) if k in _EMPTY else shown)
    return path


@pytest.fixture
def pose(tmp_path, capsys):
    def run(*arguments):
        code = main(["pose", *(str(argument) for argument in arguments), "-o", str(tmp_path / "out"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else [], said.err

    return run


def _rows(folder):
    with open(folder / "poses.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_has_a_row_a_frame_and_empty_ones_where_there_is_no_face(clip, pose, tmp_path):
    code, (row,), _ = pose(clip, "--overlay")
    folder = tmp_path / "out" / "moving"
    assert code == 0 and row["status"] == "done" and row["people"] == 1
    rows = _rows(folder)
    assert list(rows[0]) == list(VIDEO_COLUMNS) and [int(line["frame"]) for line in rows] == list(range(_N))
    for k, line in enumerate(rows):
        assert line["person"] == "1" and float(line["time_s"]) == pytest.approx(k / 25.0, abs=1e-3)
        told = {key: value for key, value in line.items() if key in VIDEO_COLUMNS[4:-1]}
        if k in _EMPTY:
            assert line["status"] == "failed" and "not seen for" in line["reason"] and not any(told.values())
        else:
            assert line["status"] == "done" and line["yaw_ray"] and line["r11"]
    seen = [line for line in rows if line["status"] == "done"]
    # It only moves: against the ray the head is turned alike throughout, and its box goes to the right.
    yaws = [float(line["yaw_ray"]) for line in seen]
    assert np.ptp(yaws) < 4.0
    assert float(seen[-1]["x0_px"]) - float(seen[0]["x0_px"]) == pytest.approx(24.0, abs=6.0)
    told = json.loads((folder / "video.json").read_text())
    assert (told["frames"], told["frames_without_a_pose"], told["poses"]) == (_N, len(_EMPTY), _N - len(_EMPTY))
    assert told["video"]["width"] == 260 and told["conventions"]["rotation"]
    drawn = list(open_video(folder / "axes.mp4"))
    assert len(drawn) == _N and drawn[0].pixels.shape == (240, 260, 3)
    change = np.abs(drawn[0].pixels.astype(int) - next(iter(open_video(clip))).pixels)
    assert (change.max(axis=2) > 90).any()
    assert not (tmp_path / "out" / "poses.csv").exists()  # the table of photos, of which there were none

    before = (folder / "poses.csv").read_bytes()
    code, (row,), _ = pose(clip, "--overlay")
    assert code == 0 and row["status"] == "kept" and (folder / "poses.csv").read_bytes() == before
    code, (row,), _ = pose(clip)
    assert code == 1 and row["status"] == "refused" and "overlay was" in row["reason"]


def _written(path, frames, turn_deg=0):
    """A video that says that its frames are to be shown turned by so much, counter-clockwise."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale:v": "2"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if turn_deg:
            stream.set_display_rotation(turn_deg)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_video_of_a_phone_that_was_held_upright_is_turned(astronaut, pose, tmp_path):
    """Its frames lie on their side and the file says how they are shown: poses, boxes and size are those of the upright picture."""
    shown = [astronaut[0:288, 96 - 4 * k : 352 - 4 * k] for k in range(2)]
    stored = [np.rot90(frame, -1) for frame in shown]
    _written(tmp_path / "upright.mp4", shown)
    _written(tmp_path / "flagged.mp4", stored, 90)
    code, rows, _ = pose(tmp_path / "upright.mp4", tmp_path / "flagged.mp4", "--method", "sixd")
    assert code == 0 and len(rows) == 2
    for upright, flagged in zip(*(_rows(tmp_path / "out" / name) for name in ("upright", "flagged")), strict=True):
        for name, most in (("yaw_ray", 1.5), ("pitch_ray", 1.5), ("roll_ray", 1.5), ("x0_px", 3.0), ("y1_px", 3.0)):
            assert float(flagged[name]) == pytest.approx(float(upright[name]), abs=most)
    size = [
        json.loads((tmp_path / "out" / name / "video.json").read_text())["video"] for name in ("upright", "flagged")
    ]
    assert all((one["width"], one["height"]) == (256, 288) for one in size)


def test_people_keep_their_numbers_through_a_gap(astronaut, pose, tmp_path):
    """Two people, one of whom is hidden for two frames, and the other leaves in the end."""
    one = astronaut[0:240, 100:340]
    frames = []
    for k in range(8):
        left, right = np.roll(one, 2 * k, axis=1), one[:, ::-1].copy()
        right = np.full_like(right, 120) if k in (3, 4) else right
        frames.append(np.concatenate((np.full_like(left, 90) if k == 7 else left, right), axis=1))
    code, (row,), _ = pose(_written(tmp_path / "two.mp4", frames), "--method", "sixd", "--faces", "all")
    assert code == 0 and row["people"] == 2
    rows = _rows(tmp_path / "out" / "two")
    assert [(line["frame"], line["person"]) for line in rows] == [(str(k), n) for k in range(8) for n in "12"]
    middles = {(line["frame"], line["person"]): line["x0_px"] and float(line["x0_px"]) for line in rows}
    left = "1" if middles["0", "1"] < middles["0", "2"] else "2"
    right = "2" if left == "1" else "1"
    for k in range(8):
        assert (middles[str(k), left] == "") == (k == 7) and (middles[str(k), right] == "") == (k in (3, 4))
    assert middles["6", left] - middles["0", left] == pytest.approx(12.0, abs=4.0)
    assert middles["6", right] == pytest.approx(middles["0", right], abs=4.0) and middles["6", right] > 240.0


def test_photos_and_videos_together_and_what_cannot_be_read(clip, astronaut, pose, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    Image.fromarray(astronaut[0:240, 100:360]).save(folder / "photo.png")
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mov").write_bytes(b"")
    whole = clip.read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    code, rows, said = pose(folder)
    told = {row["name"]: row for row in rows}
    assert code == 1 and "Traceback" not in said and set(told) == {"photo", "text", "empty", "cut"}
    assert told["photo"]["status"] == "done" and "ray" in told["photo"]
    assert "is empty (0 bytes)" in told["empty"]["reason"] and "is no video" in told["text"]["reason"]
    assert told["cut"]["status"] == "failed" and "truncated" in told["cut"]["reason"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo", "poses.csv"]


def test_frames_before_a_fault_are_kept_and_gaps_are_rows(astronaut, monkeypatch, pose, clip, tmp_path):
    from recon.io import video
    from recon.io.video import BrokenVideoError

    shown = np.ascontiguousarray(astronaut[0:240, 100:360])

    def frames(path, max_side_px):
        yield Frame(0, 0.0, shown)
        yield Frame(2, 0.08, shown)
        raise BrokenVideoError("moving.mp4 ends after 3 of 9 frames", 2)

    monkeypatch.setattr(video, "_file_frames", frames)
    code, (row,), _ = pose(clip)
    assert code == 1 and row["status"] == "failed" and "ends after 3 of 9 frames; the rows of 2 frames" in row["reason"]
    rows = _rows(tmp_path / "out" / "moving")
    assert [line["reason"] for line in rows] == ["", "the frame is damaged or missing", ""]
    assert (rows[1]["time_s"], rows[1]["person"], rows[1]["yaw"]) == ("", "", "") and rows[2]["person"] == "1"


def test_a_film_without_people_says_so_in_every_row(tmp_path, pose):
    with VideoWriter(tmp_path / "wall.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(np.full((64, 80, 3), 120, np.uint8))
    code, (row,), _ = pose(tmp_path / "wall.mp4")
    assert code == 0 and row["frames_without_a_pose"] == 3 and row["people"] == 0
    rows = _rows(tmp_path / "out" / "wall")
    assert [(line["person"], line["yaw"], line["reason"]) for line in rows] == [("", "", "no face was found")] * 3


def test_what_is_a_video(tmp_path):
    films, mixed = tmp_path / "films", tmp_path / "mixed"
    for folder, names in ((films, ["a.mp4", "b.MOV"]), (mixed, ["c.webm", "d.png"])):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"x")
    photo = tmp_path / "e.jpg"
    videos, others = split_videos([films, mixed, photo])
    assert [path.name for path in videos] == ["a.mp4", "b.MOV", "c.webm"] and others == [mixed, photo]
    with pytest.raises(UsageError, match=r"no such video: .*none\.mp4"):
        split_videos([tmp_path / "none.mp4"])
