"""Videos edited from files to a file, and those that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

av = pytest.importorskip("av")

from recon.cli import main  # noqa: E402
from recon.dubbing.dub import PROVENANCE, DubError, dub  # noqa: E402
from recon.dubbing.editor import FaceEditor, ShownBefore  # noqa: E402
from recon.dubbing.face_crops import MouthCrop  # noqa: E402
from recon.dubbing.followed_face import FollowedFace, Stretch, follow_face  # noqa: E402
from recon.io.audio import Recording, read_audio  # noqa: E402
from recon.io.video import open_video  # noqa: E402
from recon.io.write_video import VideoWriter  # noqa: E402
from recon.networks.diffusion.sampling import SamplingConfig  # noqa: E402

RATE_HZ = 16_000
SIZE = (200, 240)


def voice(seconds: float) -> Recording:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Recording(0.4 * np.sin(2.0 * np.pi * 220.0 * time_s) * np.abs(np.sin(9.0 * time_s)), RATE_HZ)


@pytest.fixture(scope="module")
def film(astronaut, tmp_path_factory) -> Path:
    """A face that shifts for six frames, three grey frames, and the face again for three."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, 25.0) as writer:
        for k in range(12):
            shown = astronaut[30 : 30 + SIZE[0], 120 + 2 * k : 120 + 2 * k + SIZE[1]]
            writer.write(np.full_like(shown, 90) if 6 <= k < 9 else np.ascontiguousarray(shown))
    return path


@pytest.fixture(scope="module")
def editor(editor_checkpoint) -> FaceEditor:
    return FaceEditor(editor_checkpoint, SamplingConfig("ddim", 2))


@pytest.fixture(scope="module")
def dubbed(film, editor, tmp_path_factory):
    out = tmp_path_factory.mktemp("dubbed") / "out.mp4"
    return out, dub(open_video(film), voice(0.3), out, editor)


def frames(path: Path) -> list[np.ndarray]:
    return [frame.pixels.astype(int) for frame in open_video(path)]


def test_mouths_change_and_nothing_else(film, dubbed) -> None:
    out, report = dubbed
    assert (report.frames, report.edited) == (12, 9)
    before, after = frames(film), frames(out)
    assert len(after) == len(before) == 12
    followed = follow_face(open_video(film))
    assert [(s.first, len(s.crops)) for s in followed.stretches] == [(0, 6), (9, 3)]
    crops = {s.first + k: crop for s in followed.stretches for k, crop in enumerate(s.crops)}
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    for k in range(12):
        change = np.abs(after[k] - before[k]).max(axis=2)
        if k not in crops:
            assert change.max() <= 12  # the codec's
            continue
        at = crops[k].points(np.stack((x, y), axis=-1))
        left, top, right, bottom = crops[k].hidden
        reach = np.maximum.reduce([left - at[..., 0], at[..., 0] - right, top - at[..., 1], at[..., 1] - bottom])
        assert change[reach < -0.1].mean() > 20 and np.median(change[reach > 0.1]) <= 4
        assert np.quantile(change[reach > 0.1], 0.99) <= 16


def test_the_file_has_the_voice_and_says_what_it_is(dubbed) -> None:
    out, report = dubbed
    with av.open(str(out)) as container:
        assert container.metadata["comment"] == PROVENANCE
        assert len(container.streams.audio) == 1
    sound = read_audio(out)
    assert abs(sound.seconds - 0.48) < 0.08 and np.abs(sound.samples[: int(0.25 * sound.rate_hz)]).max() > 0.2
    assert np.abs(sound.samples[int(0.4 * sound.rate_hz) :]).max() < 0.05
    notes = " ".join(report.notes)
    assert "0.30 s and the video 0.48 s: silence follows" in notes
    assert "3 frames stay as they are: no face" in notes


def test_the_same_run_gives_the_same_frames(film, editor, tmp_path, monkeypatch) -> None:
    """What is given to the encoder: x264 itself now and then writes a frame a little differently on a machine that is busy."""
    given: list[list[bytes]] = []
    write = VideoWriter.write

    def noting(writer: VideoWriter, pixels: np.ndarray, time_s: float | None = None) -> None:
        given[-1].append(pixels.tobytes())
        write(writer, pixels, time_s)

    monkeypatch.setattr(VideoWriter, "write", noting)
    for name in ("first.mp4", "second.mp4"):
        given.append([])
        dub(open_video(film), voice(0.3), tmp_path / name, editor)
    assert len(given[0]) == 12 and given[0] == given[1]


def test_another_voice_draws_another_mouth(editor) -> None:
    random = np.random.default_rng(4)
    crop = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = ShownBefore(crop, crop)
    hidden = (3, 14, 29, 32)
    first, second = (
        editor.frame(crop, hidden, before, np.full((5, 8), heard, dtype=np.float32)) for heard in (0.0, 1.0)
    )
    assert (first[14:, 3:29] != second[14:, 3:29]).mean() > 0.3
    # What is hidden is not looked at, and what is shown is kept to the bit.
    scribbled = crop.copy()
    scribbled[14:, 3:29] = 0
    np.testing.assert_array_equal(editor.frame(scribbled, hidden, before, np.zeros((5, 8), np.float32)), first)
    np.testing.assert_array_equal(first[:14], crop[:14])
    np.testing.assert_array_equal(first[:, :3], crop[:, :3])
    with pytest.raises(ValueError, match="takes crops of 32 px"):
        editor.frame(crop[:16, :16], hidden, before, np.zeros((5, 8), np.float32))


def test_a_mouth_below_the_picture_is_left_alone(astronaut, editor, tmp_path) -> None:
    with VideoWriter(tmp_path / "low.mp4", 25.0) as writer:
        for _ in range(4):
            writer.write(np.ascontiguousarray(astronaut[0:150, 100:340]))
    report = dub(open_video(tmp_path / "low.mp4"), voice(1.0), tmp_path / "out.mp4", editor)
    assert report.edited + 4 * int("mouth is not in the picture" in " ".join(report.notes)) >= 4
    assert "its end is cut off" in " ".join(report.notes)
    assert len(frames(tmp_path / "out.mp4")) == 4


def test_a_video_without_a_face_is_refused_and_nothing_is_written(editor, tmp_path) -> None:
    with VideoWriter(tmp_path / "grey.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(np.full((64, 96, 3), 120, np.uint8))
    with pytest.raises(DubError, match="no face was found in the 3 frames"):
        dub(open_video(tmp_path / "grey.mp4"), voice(1.0), tmp_path / "out.mp4", editor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grey.mp4"]


def test_the_command(film, editor_checkpoint, tmp_path, capsys) -> None:
    stereo = np.stack([voice(0.48).samples] * 2, axis=1)
    wavfile.write(tmp_path / "voice.wav", RATE_HZ, stereo.astype(np.float32))
    words = ["dub", str(film), "--audio", str(tmp_path / "voice.wav"), "-o", str(tmp_path / "out.mp4")]
    words += ["--checkpoint", str(editor_checkpoint), "--steps", "2"]
    assert main(words) == 0
    assert "9 of 12 frames edited, marked as synthetic" in capsys.readouterr().out
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--audio", "none.wav", "-o", "out.mp4"], "no such file: none.wav"),
        (["-o", "out.mp4"], "by --audio FILE or what it says by --text"),
        (["--audio", "film", "--text", "Hello", "-o", "out.mp4"], "one of them"),
        (["--audio", "film", "-o", "out.avi"], "should end in .mp4"),
        (["--audio", "film", "-o", "no/where/out.mp4"], "does not exist"),
        (["--audio", "film", "-o", "out.mp4", "--steps", "-1"], "0 (all) or more steps"),
        (["--audio", "film", "-o", "out.mp4", "--checkpoint", "film"], "damaged or no safetensors"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(film, words, message, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dub", str(film), *(str(film) if word == "film" else word for word in words)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_person_is_shown_by_the_first_frame_with_shut_lips() -> None:
    near = MouthCrop(np.diag([0.005, 0.005, 1.0]), (0.1, 0.4, 0.9, 1.0))
    away = MouthCrop(np.array([[0.005, 0.0, 2.0], [0.0, 0.005, 0.0], [0.0, 0.0, 1.0]]), (0.1, 0.4, 0.9, 1.0))
    stretches = [
        Stretch((0, 1), 0, [near] * 4, np.array([0.05, 0.021, 0.02, 0.09])),
        Stretch((0, 2), 4, [away, near], np.array([0.0, 0.04])),
        Stretch((0, 1), 7, [near] * 2, np.array([0.03, 0.019])),
        Stretch((1, 1), 9, [away], np.array([0.0])),
    ]
    assert FollowedFace([0.0], stretches, "").at_rest((200, 200)) == {(0, 1): 1, (0, 2): 5}
