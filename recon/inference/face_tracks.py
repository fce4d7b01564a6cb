"""Faces of a video: carried on from frame to frame, each person under one number.

A face that was seen in the last frame is looked for where it should be by now, by the landmark network alone; the whole frame is
searched only when a face was lost, when there is none, and every so often for new ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import linear_sum_assignment

from recon.detection.align import AlignmentError
from recon.detection.face import Face, NoFaceError, same_head
from recon.inference.carried_faces import may_be_the_same, one_a_head, similar_size
from recon.inference.dense_landmark_detector import face_from_landmarks
from recon.inference.landmarks import LandmarkRegressor
from recon.io.image import Photo

_REACH, _REACH_A_SECOND = 0.6, 1.5
"""How far from where it was lost a face may be found again, in its sizes, and how much farther each second later."""
_FOUND_GROWTH = 1.8
"""Ratio of sizes of a lost face and of the same face found again."""
_UNCONFIRMED = 0.5
"""Factor of the score of a face that a search does not find: it must be the surer of its landmarks to be carried on."""
_STEADY = 0.5
"""Weight of the newest step in a face's velocity."""


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """How faces are carried on.

    Attributes:
        search_every: frames between two searches of the whole frame while all faces are followed; 1 searches every frame.
        keep_s: how long a person who is not seen keeps the number.
        smallest_share: height of the smallest face that is searched for, in shares of the longer side of the frame. Half of it costs up to
            four times the time.

    Raises:
        ValueError: no frame, a negative time, or no share.
    """

    search_every: int = 30
    keep_s: float = 2.0
    smallest_share: float = 1.0 / 32.0

    def __post_init__(self) -> None:
        if self.search_every < 1 or not 0.0 <= self.keep_s < float("inf"):
            raise ValueError(
                f"search_every must be at least 1 and keep_s 0 or more, got {self.search_every} and {self.keep_s}"
            )
        if not 0.0 < self.smallest_share < 1.0:
            raise ValueError(f"smallest_share must lie between 0 and 1, got {self.smallest_share}")


@dataclasses.dataclass(frozen=True, eq=False)
class TrackedFace:
    """A person in a frame.

    Attributes:
        person: number from 1 on, the same in all frames.
        face: ``None`` in a frame in which a person who is remembered is not seen.
        seen_s: when the person was last seen, this frame included.
    """

    person: int
    face: Face | None
    seen_s: float


@runtime_checkable
class FaceSearch(Protocol):
    """Finds all faces of a photo."""

    def __call__(self, photo: Photo) -> list[Face]:
        """The faces, the largest first. Raises NoFaceError: there is none."""
        ...


@runtime_checkable
class FaceFollower(Protocol):
    """Finds a face again near a place."""

    def __call__(
        self, pixels: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"], score: float
    ) -> Face | None:
        """The face, or ``None``.

        Args:
            pixels: of the frame.
            points5: ``(5, 2)`` px, where it should be.
            score: of the face when it was last searched for.
        """
        ...


@runtime_checkable
class NearSearch(Protocol):
    """Finds the faces near one that is there already."""

    def __call__(self, photo: Photo, face: Face) -> list[Face]:
        """The faces about ``face``; none is no fault."""
        ...


class LandmarkFollower:
    """Follows faces by the landmark network: one look a face and frame.

    Args:
        landmarks: the network.
    """

    def __init__(self, landmarks: LandmarkRegressor) -> None:
        self._landmarks = landmarks

    def __call__(
        self, pixels: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"], score: float
    ) -> Face | None:
        """See :class:`FaceFollower`; ``None`` if the network is not sure of the points."""
        try:
            return face_from_landmarks(self._landmarks.once(pixels, points5), score)
        except AlignmentError:
            return None


@dataclasses.dataclass(eq=False)
class _Track:
    person: int
    face: Face
    seen_s: float
    velocity: Float[np.ndarray, " 2"]
    lost: bool = False

    def expected(self, time_s: float) -> Float[np.ndarray, "5 2"]:
        """The five points if the face moves on as before."""
        shift = self.velocity * (time_s - self.seen_s)
        length = float(np.linalg.norm(shift))
        # Farther than its size nobody can tell where a face has gone.
        return self.face.points5 + shift * min(1.0, self.face.size_px / max(length, 1e-9))

    def moved_to(self, face: Face, time_s: float) -> None:
        step = (_middle(face.points5) - _middle(self.face.points5)) / max(time_s - self.seen_s, 1e-6)
        # After a gap the way between is not known to have been straight.
        self.velocity = np.zeros(2) if self.lost else _STEADY * step + (1.0 - _STEADY) * self.velocity
        self.face, self.seen_s, self.lost = face, time_s, False


class FaceTracks:
    """The people of one video; give it the frames in their order.

    Args:
        search: finds all faces of a frame.
        follow: finds one again near a place; ``None`` searches every frame.
        config: how often is searched, and how long people are remembered.
        largest: follow only one person at a time: the largest face when there is none to follow.
        search_near: with ``largest``, where somebody is followed: newcomers are nobody's concern then, and it is enough to search about the
            face; ``None`` searches the whole frame.
    """

    def __init__(
        self,
        search: FaceSearch,
        follow: FaceFollower | None,
        config: TrackingConfig | None = None,
        *,
        largest: bool = False,
        search_near: NearSearch | None = None,
    ) -> None:
        self._search, self._follow, self._config = search, follow, config or TrackingConfig()
        self._search_near = search_near
        self._largest = largest
        self._tracks: list[_Track] = []
        self._people = 0
        self._since_search = 0

    def step(self, photo: Photo, time_s: float) -> list[TrackedFace]:
        """The people in the next frame, by their numbers.

        Args:
            photo: the frame.
            time_s: later than that of the frame before.
        """
        self._tracks = [track for track in self._tracks if time_s - track.seen_s <= self._config.keep_s]
        followed = self._followed(photo, time_s)
        self._since_search += 1
        missing = any(track not in followed for track in self._tracks)
        if not followed or missing or self._follow is None or self._since_search >= self._config.search_every:
            self._searched(photo, time_s, followed)
        return [
            TrackedFace(track.person, None if track.lost else track.face, track.seen_s)
            for track in sorted(self._tracks, key=lambda track: track.person)
        ]

    def _followed(self, photo: Photo, time_s: float) -> list[_Track]:
        """Moves the faces that are found where they should be; marks the others as lost."""
        found: list[tuple[float, _Track, Face]] = []
        for track in self._tracks:
            if self._follow is None or track.lost:
                continue
            expected = track.expected(time_s)
            face = self._follow(photo.pixels, expected, track.face.score)
            if face is None:
                continue
            shift = float(np.linalg.norm(_middle(face.points5) - _middle(expected))) / track.face.size_px
            if may_be_the_same(shift, face.size_px, track.face.size_px):
                found.append((shift, track, face))
        kept = one_a_head(found)
        followed = [track for track, _ in kept]
        for track in self._tracks:
            if self._follow is not None and track not in followed:
                track.lost = True
        for track, face in kept:
            track.moved_to(face, time_s)
        return followed

    def _searched(self, photo: Photo, time_s: float, followed: Sequence[_Track]) -> None:
        """Searches the frame: lost people are found again, and new ones get a number."""
        self._since_search = 0
        faces = self._found(photo, followed)
        for track in followed:
            there = next((face for face in faces if same_head(face, track.face)), None)
            score = _UNCONFIRMED * track.face.score if there is None else there.score
            track.face = dataclasses.replace(track.face, score=score)
        new = [face for face in faces if not any(same_head(face, track.face) for track in followed)]
        lost = [track for track in self._tracks if track not in followed]
        for track, face in self._matched(lost, new, time_s):
            track.moved_to(face, time_s)
            lost.remove(track)
            new.remove(face)
        for track in lost:
            track.lost = True
        if self._largest:
            new = [] if self._tracks else new[:1]
        for face in new:
            self._people += 1
            self._tracks.append(_Track(self._people, face, time_s, np.zeros(2)))

    def _found(self, photo: Photo, followed: Sequence[_Track]) -> list[Face]:
        if self._search_near is not None and self._largest and followed and len(followed) == len(self._tracks):
            return self._search_near(photo, followed[0].face)
        try:
            return self._search(photo)
        except NoFaceError:
            return []

    @staticmethod
    def _matched(lost: Sequence[_Track], faces: Sequence[Face], time_s: float) -> list[tuple[_Track, Face]]:
        """Lost people and the faces that may be theirs, so that the distances are least together."""
        if not lost or not faces:
            return []
        never = 1e6
        cost = np.full((len(lost), len(faces)), never)
        for row, track in enumerate(lost):
            middle, size = _middle(track.expected(time_s)), track.face.size_px
            reach = _REACH + _REACH_A_SECOND * (time_s - track.seen_s)
            for column, face in enumerate(faces):
                away = float(np.linalg.norm(_middle(face.points5) - middle)) / size
                if away < reach and similar_size(face.size_px, size, _FOUND_GROWTH):
                    cost[row, column] = away
        rows, columns = linear_sum_assignment(cost)
        return [(lost[r], faces[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < never]


def _middle(points5: Float[np.ndarray, "5 2"]) -> Float[np.ndarray, " 2"]:
    return np.asarray(points5.mean(axis=0))
