"""What the window takes: sizes, numbers, and kinds of files."""

from __future__ import annotations

import dataclasses
import re

from recon.io.names import printable
from recon.io.video import VIDEO_SUFFIXES

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
NEEDS_PYAV = "this is a video: videos need PyAV, which this installation does not have (pip install 'facerecon[video]'); drop photos"
_LONGEST_SHOWN_NAME = 60


class RefusedUpload(ValueError):
    """A file that the window does not take; the message is for the person who dropped it."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of one window.

    Attributes:
        photo_bytes: of a file with a picture.
        video_bytes: of a file with a video.
        files_at_once: dropped together.
        waiting: photos of one window that wait for their heads.
        kept: photos whose heads a window keeps; the oldest goes first.
    """

    photo_bytes: int = 32_000_000
    video_bytes: int = 512_000_000
    files_at_once: int = 20
    waiting: int = 20
    kept: int = 6

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")


def shown_name(name: str) -> str:
    """The name of an uploaded file for people: without folders of either system, one line, not too long. Never opened."""
    last = re.split(r"[/\\]", name)[-1]
    text = printable(last).strip() or "photo"
    return text if len(text) <= _LONGEST_SHOWN_NAME else text[: _LONGEST_SHOWN_NAME - 1] + "\u2026"


def is_video(name: str) -> bool:
    """Whether a file's name ends as those of videos do. What it holds shows when it is read."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def check_upload(name: str, n_bytes: int, limits: Limits, *, videos: bool) -> None:
    """Refuse a file by its name and size, before it is read.

    Args:
        name: as the browser says it.
        n_bytes: its size.
        limits: of the window.
        videos: whether there is a tracker.

    Raises:
        RefusedUpload: it is empty or too large, or a video without a tracker.
    """
    shown = shown_name(name)
    video = is_video(name)
    if video and not videos:
        raise RefusedUpload(f"{shown}: {NEEDS_PYAV}")
    if n_bytes == 0:
        raise RefusedUpload(f"{shown} is empty")
    largest = limits.video_bytes if video else limits.photo_bytes
    if n_bytes > largest:
        raise RefusedUpload(f"{shown} has {n_bytes / 1e6:.0f} MB; at most {largest / 1e6:.0f} MB are taken")
