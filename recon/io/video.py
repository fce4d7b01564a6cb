"""Reading videos frame by frame: any file that FFmpeg reads (through PyAV), an animated GIF, or a folder of pictures.

A video is read from its beginning each time it is iterated over, and never held in memory. PyAV comes with the extra ``video``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from recon.io.image import MAX_SIDE_PX, ImageError, read_image
from recon.io.names import printable
from recon.io.regular_files import FileKindError, open_regular

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp", ".ogv")
"""Files that are taken for videos by their names, where photos are taken, too."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Files of a folder that are taken for its frames."""
DEFAULT_FOLDER_FPS = 25.0
"""Frames a second of a folder of pictures, which does not tell."""
MAX_VIDEO_BYTES = 1 << 40

_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_MAX_SIDE_IN_FILE_PX = 16_384
_NO_PROTOCOLS = {"protocol_whitelist": "none"}
"""A playlist must not make FFmpeg open other files or addresses."""


class VideoError(ValueError):
    """A video that cannot be read, and why."""


class BrokenVideoError(VideoError):
    """A video that cannot be read on from some frame: truncated or damaged. The frames before are sound.

    Attributes:
        frames_read: how many there were.
    """

    def __init__(self, message: str, frames_read: int) -> None:
        super().__init__(message)
        self.frames_read = frames_read


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: its number in the file, from 0; numbers are missing where frames were left out, are damaged, or are not there.
        time_s: when it is shown, by the clock of the file: true for variable frame rates, rising strictly.
        pixels: ``(H, W, 3)`` upright RGB (sRGB code values).
    """

    index: int
    time_s: float
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """A video whose first frame was read. Iterating gives its frames from the beginning, as often as asked.

    Iterating raises :class:`BrokenVideoError` after the last sound frame of a truncated or damaged file, and
    :class:`VideoError` for one that was changed since it was opened.

    Attributes:
        source: file or folder.
        size: (H, W) of the frames.
        fps: mean frames a second in the file.
        n_frames: how many frames the file says it has; ``None`` if it does not say. Before ``wanted_fps``.
        wanted_fps: frames a second to give: of each tick the frame nearest in time, none twice; ``None`` gives all.
        scale: size of the frames / size in the file; below 1 if they were reduced.
    """

    source: Path
    size: tuple[int, int]
    fps: float
    n_frames: int | None
    wanted_fps: float | None
    scale: float
    _max_side_px: int

    def __iter__(self) -> Iterator[Frame]:
        if self.source.is_dir():
            return _folder_frames(self.source, self.fps, self._max_side_px)
        frames = _file_frames(self.source, self._max_side_px)
        return frames if self.wanted_fps is None else _thinned(frames, self.wanted_fps)


def open_video(source: str | os.PathLike[str], *, fps: float | None = None, max_side_px: int = MAX_SIDE_PX) -> Video:
    """A video, with what its header and its first frame tell.

    Frames are turned upright and mirrored as the file's display matrix says, pixels that are not square are made square, and
    frames with a side over ``max_side_px`` are reduced.

    Args:
        source: a file (any container and codec that FFmpeg reads, GIF too), or a folder of pictures in the order of the last
            number in their names; a missing number is a missing frame.
        fps: frames a second to give (never more than there are); of a folder, frames a second that it was taken at
            (:data:`DEFAULT_FOLDER_FPS` if ``None``).
        max_side_px: bound for both sides of the frames.

    Raises:
        VideoError: no video, or none that can be read: the message names the file and the fault.
        OSError: as ``open`` says it: a missing or forbidden file.
        ModuleNotFoundError: PyAV is not installed.
        ValueError: a rate or a size that is not positive.
    """
    if max_side_px < 1:
        raise ValueError(f"max_side_px must be at least 1, got {max_side_px}")
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"frames a second must be a positive number, got {fps}")
    path = Path(source)
    if path.is_dir():
        rate = DEFAULT_FOLDER_FPS if fps is None else fps
        first = next(_folder_frames(path, rate, max_side_px))
        return Video(path, first.pixels.shape[:2], rate, len(_numbered_pictures(path)), None, 1.0, max_side_px)
    with _opened(path) as (_, stream):
        rate = float(stream.average_rate or stream.base_rate or DEFAULT_FOLDER_FPS)
        n_frames, in_file = stream.frames or None, max(stream.width, stream.height)
    frames = _file_frames(path, max_side_px)
    try:
        first = next(frames)
    except BrokenVideoError as error:
        raise VideoError(str(error)) from error
    finally:
        frames.close()
    return Video(path, first.pixels.shape[:2], rate, n_frames, fps, min(1.0, max_side_px / in_file), max_side_px)


def frames_at(video: Video, positions: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Some frames of a video, read once, with their positions; rising, each once.

    Args:
        video: not read further than the last of them.
        positions: counted from its first frame, 0.

    Raises:
        VideoError: it has fewer frames now.
    """
    wanted = set(positions)
    for position, frame in enumerate(itertools.islice(video, max(wanted) + 1)):
        if position in wanted:
            wanted.remove(position)
            yield position, frame.pixels
    if wanted:
        raise VideoError(f"{printable(video.source)} has no frame {min(wanted)} any more")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A container and its first video stream that is no cover picture."""
    import av

    name = printable(path)
    try:
        raw, size = open_regular(path, max_bytes=MAX_VIDEO_BYTES)
    except FileKindError as error:
        raise VideoError(str(error)) from None
    with raw:
        try:
            container = av.open(raw, "r", options=_NO_PROTOCOLS)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoError(
                f"{name} is no video that can be read, or is truncated ({size} bytes): {_said(error)}"
            ) from error
        with container:
            moving = [one for one in container.streams.video if not one.disposition & one.disposition.attached_pic]
            if not moving:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none at all"
                raise VideoError(f"{name} has no video stream; its streams: {kinds}")
            stream = moving[0]
            if max(stream.width, stream.height) > _MAX_SIDE_IN_FILE_PX:
                shown = f"{stream.width} x {stream.height}"
                raise VideoError(
                    f"{name} has {shown} pixels; sides up to {_MAX_SIDE_IN_FILE_PX} are read; reduce it first"
                )
            yield container, stream


def _file_frames(path: Path, max_side_px: int) -> Generator[Frame, None, None]:
    import av

    name = printable(path)
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        interval_s = 1.0 / float(stream.average_rate or stream.base_rate or DEFAULT_FOLDER_FPS)
        # The index and not the header's count: what an edit list cuts off is counted in the header only.
        indexed, packets, read, last_s = len(stream.index_entries), itertools.count(), 0, -np.inf
        size: tuple[int, int] | None = None
        try:
            for index, frame in enumerate(_decoded(container, stream, packets)):
                if frame.is_corrupt:
                    continue
                pixels = _upright(frame, stream, max_side_px)
                size = size or pixels.shape[:2]
                if pixels.shape[:2] != size:
                    raise BrokenVideoError(
                        f"{name} changes its size at frame {index} from {size[1]} x {size[0]} to "
                        f"{pixels.shape[1]} x {pixels.shape[0]}; cut it there",
                        read,
                    )
                time_s = index * interval_s if frame.time is None else float(frame.time)
                if time_s <= last_s:  # written by a camera that lost count
                    time_s = last_s + interval_s
                last_s, read = time_s, read + 1
                yield Frame(index, time_s, pixels)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, VideoError):
                raise
            raise BrokenVideoError(f"{name} is damaged after {read} frames: {_said(error)}", read) from error
        if not read:
            raise VideoError(f"{name} has a video stream without a frame that can be decoded")
        if (n_packets := next(packets)) < indexed:
            raise BrokenVideoError(
                f"{name} ends after {n_packets} of {indexed} frames: the file is truncated or damaged", read
            )


def _decoded(container: InputContainer, stream: VideoStream, packets: Iterator[int]) -> Iterator[VideoFrame]:
    """Frames of a stream; ``packets`` is drawn from once a packet."""
    for packet in container.demux(stream):
        if packet.size:
            next(packets)
        yield from packet.decode()


def _upright(frame: VideoFrame, stream: VideoStream, max_side_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels as they are to be shown: square, upright, and not too large."""
    aspect = float(stream.sample_aspect_ratio or 1)
    wide, high = frame.width * max(aspect, 1.0), frame.height / min(aspect, 1.0)
    shrink = min(1.0, max_side_px / max(wide, high))
    width, height = max(1, round(wide * shrink)), max(1, round(high * shrink))
    pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(turned_upright(pixels, _display_matrix(frame)))


def turned_upright(
    pixels: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 2"]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A stored picture as a display matrix shows it, turned by quarters and mirrored.

    Args:
        pixels: as stored.
        matrix: direction in which a step along x, and one along y, of the stored picture go when shown, as rows (x right, y down).
    """
    if abs(matrix[0, 0]) < abs(matrix[0, 1]):
        pixels, matrix = pixels.transpose(1, 0, 2), matrix[::-1]
    return pixels[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1]


def _display_matrix(frame: VideoFrame) -> Float[np.ndarray, "2 2"]:
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return np.eye(2)
    # Nine integers a, b, u, c, d, v, x, y, w: (p, q) is shown at (a p + c q + x, b p + d q + y).
    return np.frombuffer(found, np.int32)[:9].reshape(3, 3)[:2, :2] / 65536.0


def _thinned(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """Of each tick of a clock of ``fps`` that starts with the first frame, the frame nearest in time; none twice."""
    before: Frame | None = None
    first_s, tick = 0.0, 0
    for frame in frames:
        if before is None:
            first_s = frame.time_s
        else:
            middle_s = 0.5 * (before.time_s + frame.time_s)
            passed = int(np.floor((middle_s - first_s) * fps + 1e-9)) + 1  # ticks up to there
            if passed > tick:
                yield before
                tick = passed
        before = frame
    if before is not None and first_s + tick / fps <= before.time_s + 1e-9:
        yield before


def _numbered_pictures(folder: Path) -> list[tuple[int, Path]]:
    """The pictures of a folder with the numbers of their frames, in order.

    Raises:
        VideoError: none, or two of one number.
    """
    name = printable(folder)
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.name[0] != "."]
    if not paths:
        raise VideoError(f"the folder {name} holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    numbers = {path: _LAST_NUMBER.search(path.stem) for path in paths}
    if not all(numbers.values()):
        plain = next(path for path, number in numbers.items() if number is None)
        raise VideoError(
            f"{printable(plain)} has no number in its name, by which the frames of {name} are put in order"
        )
    ordered = sorted((int(number[1]), path) for path, number in numbers.items() if number is not None)
    for (number, path), (following, other) in zip(ordered, ordered[1:], strict=False):
        if number == following:
            raise VideoError(f"{printable(path)} and {printable(other)} are both frame {number} of {name}")
    return [(number - ordered[0][0], path) for number, path in ordered]


def _folder_frames(folder: Path, fps: float, max_side_px: int) -> Iterator[Frame]:
    size: tuple[int, int] | None = None
    for read, (index, path) in enumerate(_numbered_pictures(folder)):
        try:
            pixels = read_image(path, max_side_px=max_side_px).pixels
        except (ImageError, OSError) as error:
            raise BrokenVideoError(str(error), read) from error
        size = size or pixels.shape[:2]
        if pixels.shape[:2] != size:
            raise BrokenVideoError(
                f"{printable(path)} has {pixels.shape[1]} x {pixels.shape[0]} pixels, but the frames before it "
                f"{size[1]} x {size[0]}",
                read,
            )
        yield Frame(index, index / fps, pixels)


def _said(error: Any) -> str:
    """What FFmpeg said of a fault, in one line."""
    log = getattr(error, "log", None)
    texts = [getattr(error, "strerror", None) or str(error), log[1][2] if log and len(log) > 1 else ""]
    return printable("; ".join(" ".join(text.split()) for text in texts if text))
