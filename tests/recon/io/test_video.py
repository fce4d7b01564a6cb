from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from recon.io.files import OutputExistsError  # noqa: E402
from recon.io.image import MAX_SIDE_PX  # noqa: E402
from recon.io.video import BrokenVideoError, Frame, VideoError, _thinned, open_video, turned_upright  # noqa: E402
from recon.io.write_video import Sound, VideoWriter  # noqa: E402

RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 200, 30), (30, 30, 200), (120, 120, 120)
TONE = Sound(np.sin(np.arange(8000) / 9.0)[:, None].astype(np.float32) * 0.3, 8000)


def quarters(height: int = 48, width: int = 64, shift: int = 0) -> np.ndarray:
    """Red, green / blue, grey, with a white bar that moves."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = RED, GREEN
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = BLUE, GREY
    picture[height // 2 - 8 : height // 2, shift : shift + 4] = 255
    return picture


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """The colours of the corners, clockwise from the top left, as the nearest of the four."""
    named = np.array([RED, GREEN, GREY, BLUE])
    found = [pixels[4, 4], pixels[4, -5], pixels[-5, -5], pixels[-5, 4]]
    return [tuple(named[np.abs(named - colour.astype(int)).sum(axis=1).argmin()]) for colour in found]


def clip(
    path: Path, n: int = 12, size: tuple[int, int] = (48, 64), times: list[float] | None = None, **options
) -> Path:
    with VideoWriter(path, 25.0, **options) as writer:
        for k in range(n):
            writer.write(quarters(*size, shift=3 * k), None if times is None else times[k])
    return path


def raw_clip(path: Path, change=lambda stream: None, n: int = 3) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        change(stream)
        for _ in range(n):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(), "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_what_was_written_is_read_with_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.1, 0.3, 0.34, 0.5, 0.9]
    video = open_video(clip(tmp_path / "a.mp4", len(times), times=times))
    frames = list(video)
    assert video.size == (48, 64) and video.n_frames == len(times) and video.scale == 1.0
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-4)
    assert [frame.index for frame in frames] == list(range(len(times)))
    for k, frame in enumerate(frames):
        assert np.abs(frame.pixels.astype(int) - quarters(shift=3 * k)).mean() < 6
    np.testing.assert_array_equal(next(iter(video)).pixels, frames[0].pixels)  # a second time


def test_an_odd_size_and_a_file_that_is_there(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 2, (47, 65))
    assert open_video(path).size == (48, 66)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="overwrite"):
        clip(path)
    with pytest.raises(RuntimeError, match="on purpose"), VideoWriter(path, 25.0, overwrite=True) as writer:
        writer.write(quarters())
        raise RuntimeError("on purpose")
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.mp4"]
    with pytest.raises(ValueError, match="without a frame"), VideoWriter(tmp_path / "none.mp4", 25.0):
        pass
    with pytest.raises(ValueError, match="not after"), VideoWriter(tmp_path / "none.mp4", 25.0) as writer:
        writer.write(quarters(), 1.0)
        writer.write(quarters(), 1.0)
    with pytest.raises(ValueError, match="from 0 on"), VideoWriter(tmp_path / "none.mp4", 25.0) as writer:
        writer.write(quarters(), -0.1)
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_sound_is_encoded_and_copied(tmp_path: Path) -> None:
    first = clip(tmp_path / "a.mp4", sound=TONE)
    second = clip(tmp_path / "b.mp4", sound=first)
    heard = []
    for path in (first, second):
        with av.open(str(path)) as container:
            heard.append(np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)[0, :8000])
            assert len(container.streams.video) == 1
    np.testing.assert_array_equal(heard[0], heard[1])
    assert np.corrcoef(heard[0][2000:4000], TONE.samples[2000:4000, 0])[0, 1] > 0.9
    with pytest.raises(VideoError, match="no sound track"):
        clip(tmp_path / "c.mp4", sound=clip(tmp_path / "d.mp4"))


@pytest.mark.parametrize(
    "degrees, mirrored, wanted",
    [  # counter-clockwise
        (0, False, [RED, GREEN, GREY, BLUE]),
        (90, False, [GREEN, GREY, BLUE, RED]),
        (-90, False, [BLUE, RED, GREEN, GREY]),
        (180, False, [GREY, BLUE, RED, GREEN]),
        (0, True, [GREEN, RED, BLUE, GREY]),
    ],
)
def test_the_rotation_flag_is_obeyed(tmp_path: Path, degrees: int, mirrored: bool, wanted: list) -> None:
    path = raw_clip(tmp_path / "a.mp4", lambda stream: stream.set_display_rotation(degrees, hflip=mirrored))
    video = open_video(path)
    assert corners(next(iter(video)).pixels) == wanted
    assert video.size == ((64, 48) if degrees % 180 else (48, 64))


def test_upright_by_every_matrix(tmp_path: Path) -> None:
    """Against the definition: where the matrix sends each pixel."""
    picture = np.random.default_rng(0).integers(0, 255, (3, 5, 3), np.uint8)
    for a, b, c, d in [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)] + [
        (0, x, y, 0) for x in (1, -1) for y in (1, -1)
    ]:
        matrix = np.array([[a, b], [c, d]], float)
        y, x = np.mgrid[:3, :5]
        places = np.stack([x, y], axis=-1).reshape(-1, 2) @ matrix
        places = (places - places.min(axis=0)).astype(int)
        wanted = np.zeros(((places[:, 1].max() + 1), places[:, 0].max() + 1, 3), np.uint8)
        wanted[places[:, 1], places[:, 0]] = picture.reshape(-1, 3)
        np.testing.assert_array_equal(turned_upright(picture, matrix), wanted)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    def wide(stream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    assert open_video(raw_clip(tmp_path / "a.mp4", wide)).size == (48, 128)


def test_large_frames_are_reduced(tmp_path: Path) -> None:
    video = open_video(clip(tmp_path / "a.mp4", 1), max_side_px=32)
    assert video.size == (24, 32) and video.scale == 0.5
    assert corners(next(iter(video)).pixels) == [RED, GREEN, GREY, BLUE]


def test_a_frame_of_8k_is_reduced(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "8k.mp4", 25.0) as writer:
        writer.write(quarters(4320, 7680))
    video = open_video(tmp_path / "8k.mp4")
    assert video.size == (MAX_SIDE_PX * 9 // 16, MAX_SIDE_PX) and corners(next(iter(video)).pixels) == [
        RED,
        GREEN,
        GREY,
        BLUE,
    ]


def test_fewer_frames_a_second() -> None:
    def given(times):
        return iter([Frame(k, t, np.zeros((1, 1, 3), np.uint8)) for k, t in enumerate(times)])

    def nearest(times, fps):  # the slow twin: of each tick the nearest frame, the earlier of two
        ticks = times[0] + np.arange(int(np.floor((times[-1] - times[0]) * fps + 1e-9)) + 1) / fps
        found = [int(np.argmin(np.round(np.abs(np.array(times) - tick), 9))) for tick in ticks]
        return list(dict.fromkeys(found))

    rng = np.random.default_rng(1)
    for times in ([0.04 * k + 7.0 for k in range(25)], list(np.cumsum(rng.uniform(0.01, 0.2, 40)))):
        for fps in (3.0, 10.0, 12.5, 100.0):
            assert [frame.index for frame in _thinned(given(times), fps)] == nearest(times, fps)


def test_resampling_of_a_file_keeps_true_times(tmp_path: Path) -> None:
    video = open_video(clip(tmp_path / "a.mp4", 12), fps=10.0)
    np.testing.assert_allclose([frame.time_s for frame in video], [0.0, 0.08, 0.2, 0.28, 0.4], atol=0.021)


def test_a_gif(tmp_path: Path) -> None:
    pictures = [Image.fromarray(quarters(shift=8 * k)) for k in range(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 200, 100, 100])
    frames = list(open_video(tmp_path / "a.gif"))
    np.testing.assert_allclose([frame.time_s for frame in frames], [0.0, 0.1, 0.3, 0.4], atol=1e-3)
    assert corners(frames[-1].pixels) == [RED, GREEN, GREY, BLUE]


def test_a_folder_with_gaps(tmp_path: Path) -> None:
    for number in (9, 10, 12):
        Image.fromarray(quarters(shift=number)).save(tmp_path / f"take2_{number}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    video = open_video(tmp_path, fps=10.0)
    frames = list(video)
    assert [frame.index for frame in frames] == [0, 1, 3] and video.n_frames == 3
    np.testing.assert_allclose([frame.time_s for frame in frames], [0.0, 0.1, 0.3])
    np.testing.assert_array_equal(frames[2].pixels, quarters(shift=12))
    Image.fromarray(quarters(40, 64)).save(tmp_path / "take2_13.png")
    with pytest.raises(BrokenVideoError, match="64 x 40"):
        list(video)
    (tmp_path / "take2_09.png").write_bytes((tmp_path / "take2_9.png").read_bytes())
    with pytest.raises(VideoError, match="both frame 9"):
        open_video(tmp_path)


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 40)
    with (
        av.open(str(path)) as container,
        av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    whole = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: int(0.8 * len(whole))])
    read = []
    with pytest.raises(BrokenVideoError, match=r"b\.mp4 .*(ends|damaged) after \d+") as raised:
        for frame in open_video(tmp_path / "b.mp4"):
            read.append(frame)
    assert 0 < len(read) == raised.value.frames_read < 40
    path.write_bytes(path.read_bytes()[:-200])  # without its index
    with pytest.raises(VideoError, match=r"a\.mp4 is no video.*truncated"):
        open_video(path)


def test_files_that_are_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(TONE.samples.T.copy(), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, said in {
        "song.mp4": "no video stream; its streams: audio",
        "text.mp4": "no video that can be read",
        "empty.mp4": "empty",
        "folder": "no pictures",
    }.items():
        with pytest.raises(VideoError, match=said) as raised:
            open_video(tmp_path / name)
        assert name in str(raised.value)
    with pytest.raises(FileNotFoundError):
        open_video(tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match="positive"):
        open_video(tmp_path / "song.mp4", fps=0.0)


def test_a_stream_without_frames(tmp_path: Path) -> None:
    with av.open(str(raw_clip(tmp_path / "a.mp4"))) as given, av.open(str(tmp_path / "b.mp4"), "w") as container:
        container.add_stream_from_template(given.streams.video[0])
        container.start_encoding()
    with pytest.raises(VideoError, match=r"b\.mp4 has no video stream"):
        open_video(tmp_path / "b.mp4")


def test_a_trimmed_video_is_not_truncated(tmp_path: Path) -> None:
    """An edit list leaves out the first frames, which the header counts."""
    with av.open(str(clip(tmp_path / "a.mp4", 10))) as given, av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                shift = round(0.16 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                container.mux(packet)
    assert 0 < len(list(open_video(tmp_path / "b.mp4"))) <= 10


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    with av.open(str(clip(tmp_path / "a.mp4"))) as given, av.open(str(tmp_path / "other.ts"), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    assert open_video(tmp_path / "other.ts").size == (48, 64)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'other.ts'}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    with pytest.raises(VideoError, match=r"list\.m3u8"):
        open_video(tmp_path / "list.m3u8")
