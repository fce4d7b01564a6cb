"""Writing videos: H.264 in MP4, frame by frame, with a sound track if there is one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from recon.io.files import OutputError, OutputExistsError
from recon.io.names import printable
from recon.io.parts import open_part, sync_folder
from recon.io.video import VideoError

if TYPE_CHECKING:
    from av.container import OutputContainer

_ENCODERS: dict[str, dict[str, str]] = {"libx264": {"preset": "veryfast"}, "libopenh264": {}}
"""With their options, in order of preference; FFmpeg is built with one, both or none of them."""
_CLOCK = Fraction(1, 90_000)
_SOUND_CHUNK = 1024
_BT709 = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Sound:
    """A sound track.

    Attributes:
        samples: ``(N, C)`` in [-1, 1]; one or two channels.
        rate_hz: samples a second.
    """

    samples: Float[np.ndarray, "n c"]
    rate_hz: int


class VideoWriter:
    """A context manager that frames are given to. The file appears under its name when all was written, or not at all.

    Args:
        path: ``.mp4``.
        fps: frames a second of frames that are written without a time.
        sound: samples to encode as AAC, or a file whose first sound track is copied as it is.
        comment: written into the file's metadata.
        crf: constant rate factor of x264, 0 (without loss) to 51; another encoder has its own rate.
        overwrite: replace a file.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`; also an FFmpeg without an encoder for H.264.
        VideoError: a file for the sound without a sound track, or one that MP4 cannot hold.
        ModuleNotFoundError: PyAV is not installed (the extra ``video``).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float,
        *,
        sound: Sound | str | os.PathLike[str] | None = None,
        comment: str | None = None,
        crf: int = 20,
        overwrite: bool = False,
    ) -> None:
        self.path, self.fps = Path(path), fps
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f"frames a second must be a positive number, got {fps}")
        if self.path.exists() and not overwrite:
            raise OutputExistsError(f"{self.path} exists; pass overwrite=True to replace it")
        self._comment, self._crf = comment, crf
        self._sound, self._closing = sound, contextlib.ExitStack()
        self._part: Path | None = None

    def __enter__(self) -> VideoWriter:
        import av

        encoder = next((one for one in _ENCODERS if one in av.codecs_available), None)
        if encoder is None:
            raise OutputError(
                "this FFmpeg has no encoder for H.264 (libx264 or libopenh264), so no video can be written"
            )
        try:
            self._part, file = open_part(self.path.parent)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            self._closing.enter_context(file)
            # Python's file is closed after the container, which writes the index at its end.
            self._container = self._closing.enter_context(av.open(file, "w", format="mp4"))
            if self._comment is not None:
                self._container.metadata["comment"] = self._comment
            options = {**_ENCODERS[encoder], **({"crf": str(self._crf)} if encoder == "libx264" else {})}
            self._stream: Any = self._container.add_stream(encoder, options=options)
            self._size: tuple[int, int] | None = None
            self._written, self._last_s = 0, -0.5 * float(_CLOCK)
            self._mux_sound_until = _sound_track(self._sound, self._container, self._closing)
        except BaseException:
            self._drop()
            raise
        return self

    def write(self, pixels: UInt8[np.ndarray, "h w 3"], time_s: float | None = None) -> None:
        """Append a frame; all have one size. Odd sides get one more row or column, a copy of the last, as H.264 wants them even.

        Args:
            pixels: RGB.
            time_s: when it is shown; ``None`` goes on at ``fps``.

        Raises:
            ValueError: another size than before, or a time that is not after the one before.
        """
        import av

        if time_s is None:
            time_s = self._written / self.fps
        if not time_s > self._last_s:
            before = f"not after the one before, {self._last_s} s" if self._written else "not from 0 on"
            raise ValueError(f"frame {self._written} is to be shown at {time_s} s, {before}")
        if self._size is None:
            self._start(pixels.shape[0], pixels.shape[1])
        if pixels.shape[:2] != self._size:
            raise ValueError(f"frame {self._written} is {pixels.shape[:2]}, those before are {self._size} (H, W)")
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = round(time_s / _CLOCK), _CLOCK
        with self._as_output_error():
            self._container.mux(self._stream.encode(frame))
            self._mux_sound_until(time_s)
        self._written, self._last_s = self._written + 1, time_s

    def _start(self, height: int, width: int) -> None:
        stream = self._stream
        self._size = (height, width)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.framerate, context.time_base = Fraction(self.fps).limit_denominator(100_000), _CLOCK
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _BT709  # 1 is "limited", too

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._drop()
            return
        try:
            if self._size is None:
                raise ValueError(f"{self.path} would be a video without a frame")
            with self._as_output_error():
                self._container.mux(self._stream.encode(None))
                self._mux_sound_until(np.inf)
                self._closing.close()
            assert self._part is not None
            os.replace(self._part, self.path)
            sync_folder(self.path.parent)
        finally:
            self._drop()

    def _drop(self) -> None:
        with contextlib.suppress(Exception):  # a container without a frame cannot write its index
            self._closing.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _as_output_error(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write {self.path}: {error}") from error


def _sound_track(
    sound: Sound | str | os.PathLike[str] | None, container: OutputContainer, closing: contextlib.ExitStack
) -> Callable[[float], None]:
    """Adds a sound track; the result writes what sounds up to a time."""
    if sound is None:
        return lambda _: None
    packets = _encoded(sound, container) if isinstance(sound, Sound) else _copied(Path(sound), container, closing)
    waiting = next(packets, None)

    def mux_until(time_s: float) -> None:
        nonlocal waiting
        while waiting is not None and waiting[0] <= time_s:
            container.mux(waiting[1])
            waiting = next(packets, None)

    return mux_until


def _encoded(sound: Sound, container: OutputContainer) -> Iterator[tuple[float, Any]]:
    import av

    n, n_channels = sound.samples.shape
    if n_channels not in (1, 2):
        raise ValueError(f"sound has one or two channels, got {n_channels}")
    layout = ("mono", "stereo")[n_channels - 1]
    stream = container.add_stream("aac", rate=sound.rate_hz, layout=layout)

    def packets() -> Iterator[tuple[float, Any]]:
        for start in range(0, n, _SOUND_CHUNK):
            part = np.ascontiguousarray(sound.samples[start : start + _SOUND_CHUNK].T, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = sound.rate_hz, start, Fraction(1, sound.rate_hz)
            yield start / sound.rate_hz, stream.encode(frame)
        yield n / sound.rate_hz, stream.encode(None)

    return packets()


def _copied(path: Path, container: OutputContainer, closing: contextlib.ExitStack) -> Iterator[tuple[float, Any]]:
    import av

    try:
        given = closing.enter_context(av.open(str(path.absolute())))
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{printable(path)} cannot be read for its sound: {error}") from error
    if not given.streams.audio:
        raise VideoError(f"{printable(path)} has no sound track to copy")
    template = given.streams.audio[0]
    try:
        stream = container.add_stream_from_template(template)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"the sound of {printable(path)} cannot be copied into MP4: {error}") from error

    def packets() -> Iterator[tuple[float, Any]]:
        for packet in given.demux(template):
            if packet.dts is None:  # the mark of the end
                continue
            time_s = float(packet.dts * packet.time_base)
            packet.stream = stream
            yield time_s, packet

    return packets()
