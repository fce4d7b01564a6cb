"""The largest face of a video from frame to frame: the stretches in which it is seen, and its crops in these."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator

import numpy as np
from jaxtyping import Float

from recon.dubbing.face_crops import LEAST_SHOWN, MouthCrop, mouth_crops, smoothed
from recon.inference.face_tracks import FaceTracks
from recon.inference.video_poses import open_tracks
from recon.io.faults import reason
from recon.io.image import Photo
from recon.io.video import BrokenVideoError, Frame, Video
from recon.tracking.scene_cuts import is_cut, signature

_LIPS = ((61, 67), (62, 66), (63, 65))
_ABOUT = 0.004
"""In shares of a crop's side: what points of the lips err by."""
Person = tuple[int, int]
"""Number of the scene, and of the person in it: after a cut nobody is known any more."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """Frames that follow each other and show one person.

    Attributes:
        person: who.
        first: number of the first frame, counted from 0 among the frames that could be read.
        crops: of each frame.
        lips_apart: ``(T,)`` how far the inner lips are apart, in shares of the crop's side.
    """

    person: Person
    first: int
    crops: list[MouthCrop]
    lips_apart: Float[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True, eq=False)
class FollowedFace:
    """A face through a video.

    Attributes:
        times_s: of all frames.
        stretches: in which it is seen, in their order.
        broken: what is wrong with a video that could not be read to its end, or empty.
    """

    times_s: list[float]
    stretches: list[Stretch]
    broken: str

    @property
    def frames_seen(self) -> int:
        """In how many frames it is."""
        return sum(len(stretch.crops) for stretch in self.stretches)

    @property
    def crops(self) -> dict[int, MouthCrop]:
        """Of all frames with the face, by number."""
        return {stretch.first + k: crop for stretch in self.stretches for k, crop in enumerate(stretch.crops)}

    def at_rest(self, size: tuple[int, int], among: Container[int] | None = None) -> dict[Person, int]:
        """Of each person the frame that shows how the mouth looks at rest: the first whose lips are about as near each other as in any.

        Args:
            size: (H, W) of the frames, px; the mouth must lie within.
            among: numbers of the frames to choose from; ``None``: all. Persons who are in none of them are left out.
        """
        found: dict[Person, list[tuple[int, float]]] = {}
        for stretch in self.stretches:
            for k, crop in enumerate(stretch.crops):
                number = stretch.first + k
                if crop.shown_share(size) >= LEAST_SHOWN and (among is None or number in among):
                    found.setdefault(stretch.person, []).append((number, float(stretch.lips_apart[k])))
        least = {person: min(apart for _, apart in frames) for person, frames in found.items()}
        return {
            person: next(number for number, apart in frames if apart <= least[person] + _ABOUT)
            for person, frames in found.items()
        }


def follow_face(video: Video, tracks: FaceTracks | None = None) -> FollowedFace:
    """Find the largest face of a video and follow it.

    Args:
        video: to be read once from its beginning.
        tracks: of this video; ``None`` finds faces by the package's own networks.

    Raises:
        VideoError: the video cannot be read.
    """
    tracks = tracks or open_tracks()
    times_s: list[float] = []
    seen: dict[int, tuple[Person, Float[np.ndarray, "68 2"]]] = {}
    scene, before = 0, None
    frames = SoundFrames(video)
    for number, frame in enumerate(frames):
        times_s.append(frame.time_s)
        cells = signature(frame.pixels)
        scene += int(before is not None and is_cut(before, cells))
        before = cells
        photo = Photo(frame.pixels, source=f"frame {frame.index} of {video.source}")
        for tracked in tracks.step(photo, frame.time_s):
            if tracked.face is not None and tracked.face.landmarks68 is not None:
                seen[number] = ((scene, tracked.person), tracked.face.landmarks68.astype(np.float64))
                break
    return FollowedFace(times_s, _stretches(seen), frames.broken)


class SoundFrames:
    """The frames of a video up to where it is damaged.

    Attributes:
        broken: what is wrong with a video that could not be read to its end; empty before the end, and of a sound one.
    """

    def __init__(self, video: Video) -> None:
        self._video = video
        self.broken = ""

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._video
        except BrokenVideoError as error:
            self.broken = reason(error)


def _stretches(seen: dict[int, tuple[Person, Float[np.ndarray, "68 2"]]]) -> list[Stretch]:
    runs: list[list[int]] = []
    for number in sorted(seen):
        goes_on = bool(runs) and runs[-1][-1] == number - 1 and seen[number - 1][0] == seen[number][0]
        if goes_on:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [_stretch(seen[run[0]][0], run[0], np.stack([seen[k][1] for k in run])) for run in runs]


def _stretch(person: Person, first: int, points68_px: Float[np.ndarray, "t 68 2"]) -> Stretch:
    crops = mouth_crops(points68_px)
    at = np.stack([crop.points(points) for crop, points in zip(crops, points68_px, strict=True)])
    gaps = [np.linalg.norm(at[:, upper] - at[:, lower], axis=1) for upper, lower in _LIPS]
    return Stretch(person, first, crops, smoothed(np.mean(gaps, axis=0), 3))
