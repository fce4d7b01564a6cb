"""What people drop, as things with heads: photos, whose faces are reconstructed by any method, and clips, which come tracked."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from recon.app.limits import shown_name
from recon.app.methods import METHOD_NAMES, HeadMaker
from recon.detection.face import Face
from recon.io.image import Photo, read_image
from recon.reconstruction import Reconstruction

Progress = Callable[[float], None]
"""Told the share that is done, [0, 1]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A video that was tracked.

    Attributes:
        heads: one a frame; None where there is none.
        reasons: one a frame: why there is no head, empty where there is one.
        frames_per_s: of the video.
    """

    heads: Sequence[Reconstruction | None]
    reasons: Sequence[str]
    frames_per_s: float


TrackVideo = Callable[[bytes, Progress], Clip]
"""Tracks the main person of a video file: what the window needs of a tracker."""


@runtime_checkable
class Source(Protocol):
    """Something dropped: a name, places in it to choose from, and a head for each place and method."""

    name: str
    methods: tuple[str, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """Faces of a photo or frames of a clip, in words."""
        ...

    def head(self, place: int, method: str) -> Reconstruction:
        """The head at a place, made when first asked for.

        Raises:
            NoHeadError: there is none, and why.
        """
        ...

    def has(self, place: int, method: str) -> bool:
        """Whether :meth:`head` answers at once."""
        ...


class NoHeadError(ValueError):
    """A place without a head."""


class PhotoSource:
    """A photo whose faces were found.

    Args:
        name: of the file, for people.
        photo: the photo.
        faces: its faces, the largest first.
        maker: makes the heads.
    """

    methods: tuple[str, ...] = tuple(METHOD_NAMES)

    def __init__(self, name: str, photo: Photo, faces: Sequence[Face], maker: HeadMaker) -> None:
        self.name, self._photo, self._faces, self._maker = name, photo, list(faces), maker
        self._heads: dict[tuple[int, str], Reconstruction] = {}
        self._lock = threading.Lock()

    @classmethod
    def read(cls, name: str, data: bytes, maker: HeadMaker) -> PhotoSource:
        """Read an uploaded file and look for faces.

        Raises:
            ImageError: it is no picture.
            NoFaceError: there is no face.
        """
        shown = shown_name(name)
        photo = dataclasses.replace(read_image(data), source=shown)
        return cls(shown, photo, maker.detect(photo), maker)

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(f"face {k + 1} of {len(self._faces)}" for k in range(len(self._faces)))

    def head(self, place: int, method: str) -> Reconstruction:
        with self._lock:  # two questions for one head make it once
            if (place, method) not in self._heads:
                self._heads[place, method] = self._maker.head(self._photo, self._faces[place], method)
            return self._heads[place, method]

    def has(self, place: int, method: str) -> bool:
        return (place, method) in self._heads


class ClipSource:
    """A clip, whose frames are the places."""

    methods: tuple[str, ...] = ("track",)

    def __init__(self, name: str, clip: Clip) -> None:
        self.name, self._clip = shown_name(name), clip

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(f"{k / self._clip.frames_per_s:.2f} s" for k in range(len(self._clip.heads)))

    def head(self, place: int, method: str) -> Reconstruction:
        head = self._clip.heads[place]
        if head is None:
            raise NoHeadError(f"no head in this frame: {self._clip.reasons[place]}")
        return head

    def has(self, place: int, method: str) -> bool:
        return True
