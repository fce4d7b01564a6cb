"""Dropped videos: on the disk while they are tracked, and then as small frames in memory."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from recon.app.limits import RefusedUpload
from recon.app.sources import Clip, Progress, TrackVideo
from recon.io.video import BrokenVideoError, Video, VideoError, open_video
from recon.reconstruction import Reconstruction
from recon.tracking.head_track import HeadTrack
from recon.tracking.heads import head_at
from recon.tracking.tracker import Tracker

MOST_FRAMES = 1500
"""A minute; a kept frame takes about 0.1 MB."""
_SIDE_PX = 1280
_JPEG_QUALITY = 92


def clip_tracker(tracker: Callable[[], Tracker]) -> TrackVideo:
    """What the window asks with a video.

    Args:
        tracker: makes one when the first video comes, of the main person.
    """
    made: list[Tracker] = []

    def tracked(data: bytes, progress: Progress) -> Clip:
        """The main person of a video file.

        Raises:
            RefusedUpload: it is too long.
            VideoError: it cannot be read.
            NoFaceError: nobody is in it for long enough.
        """
        if not made:
            made.append(tracker())
        with tempfile.TemporaryDirectory(prefix="recon-app-") as folder:
            path = Path(folder) / "video"
            path.write_bytes(data)
            try:
                video = open_video(path, max_side_px=_SIDE_PX)
            except VideoError as error:  # people know the file by the name that it had when it was dropped
                raise VideoError(str(error).replace(str(path), "it")) from None
            kept = _kept_frames(video)
            track = made[0](video, Path(folder), lambda _, done, __: progress(min(1.0, done / len(kept))))[0]
        return Clip(TrackedHeads(track, kept), track.reason, video.fps)

    return tracked


class TrackedHeads(Sequence[Reconstruction | None]):
    """The heads of a clip, made of its track when they are asked for.

    Args:
        track: of the clip.
        frames: all of them, as JPEG.
    """

    def __init__(self, track: HeadTrack, frames: Sequence[bytes]) -> None:
        self._track, self._frames, self._found = track, frames, track.found

    def __len__(self) -> int:
        return len(self._track)

    @overload
    def __getitem__(self, index: int) -> Reconstruction | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Reconstruction | None]: ...
    def __getitem__(self, index: int | slice) -> Reconstruction | None | Sequence[Reconstruction | None]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of a clip of {len(self)}")
        position = index % len(self)
        if not self._found[position]:
            return None
        pixels = np.asarray(Image.open(io.BytesIO(self._frames[position])).convert("RGB"))
        return head_at(self._track, position, pixels)


def _kept_frames(video: Video) -> list[bytes]:
    kept: list[bytes] = []
    # A video that breaks off is tracked up to there.
    with contextlib.suppress(BrokenVideoError):
        kept.extend(_jpegs(video))
    return kept


def _jpegs(video: Video) -> Iterator[bytes]:
    for number, frame in enumerate(video):
        if number == MOST_FRAMES:
            raise RefusedUpload(
                f"the video has more than {MOST_FRAMES} frames, as many as a window keeps: take recon track, or a part of it"
            )
        content = io.BytesIO()
        Image.fromarray(frame.pixels).save(content, "JPEG", quality=_JPEG_QUALITY)
        yield content.getvalue()
