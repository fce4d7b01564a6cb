"""Head poses frame by frame through a video."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.detection.detect import detect
from recon.detection.face import Face, NoFaceError
from recon.detector_names import OPEN
from recon.face_pose import FacePose
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.estimate_poses import PoseOptions
from recon.inference.face_boxes import FaceBoxFinder
from recon.inference.face_tracks import FaceTracks, LandmarkFollower, TrackedFace, TrackingConfig
from recon.inference.head_pose import PoseEstimator
from recon.inference.landmarks import LandmarkRegressor
from recon.inference.pose_crop import ray_to_head
from recon.io.faults import ends_the_run, reason
from recon.io.image import Photo
from recon.io.read_ahead import read_ahead
from recon.io.resample import resample
from recon.io.video import BrokenVideoError, Frame

_AHEAD = 3
"""Frames that are read before the ones before them are followed, and followed before the poses of the ones before them are done."""
_NEAR_SIZES, _NEAR_FACE_PX = 1.2, 96.0
"""How far about a face is searched, in its sizes, and its size in the picture that is searched, px."""


@dataclasses.dataclass(frozen=True, eq=False)
class PersonPose:
    """One person in one frame, or nobody.

    Attributes:
        person: number from 1 on, the same in all frames; ``None`` in a frame without anybody.
        pose: ``None`` if there is none; nothing takes its place.
        reason: why there is none.
    """

    person: int | None
    pose: FacePose | None
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class FramePoses:
    """The people of one frame.

    Attributes:
        index: number of the frame in the file.
        time_s: when it is shown; ``None`` of a frame that is not there.
        people: by their numbers; at least one entry.
        frame: ``None`` if it is damaged or missing.
    """

    index: int
    time_s: float | None
    people: tuple[PersonPose, ...]
    frame: Frame | None


def make_tracks(
    estimator: PoseEstimator, options: PoseOptions, config: TrackingConfig | None = None, *, largest: bool = True
) -> FaceTracks:
    """The people of one video, found by the detector of a method and followed by the landmark network.

    Args:
        estimator: opened from ``options``; finds the faces of detectors other than ``"open"``, which have nothing to follow faces with
            and search every frame.
        options: of the method.
        config: how often is searched, how small faces are, and how long people are remembered.
        largest: follow one person at a time.
    """
    if options.detector != OPEN:
        return FaceTracks(estimator.detect, None, config, largest=largest)
    return open_tracks(config, largest=largest)


def open_tracks(config: TrackingConfig | None = None, *, largest: bool = True) -> FaceTracks:
    """The people of one video, found and followed by the package's own networks.

    Args:
        config: how often is searched, how small faces are, and how long people are remembered.
        largest: follow one person at a time.
    """
    config = config or TrackingConfig()
    landmarks = LandmarkRegressor(folded=True)
    detector = DenseLandmarkDetector(landmarks, FaceBoxFinder(folded=True))
    search, near = _Search(detector, config.smallest_share), SearchNear(detector)
    return FaceTracks(search, LandmarkFollower(landmarks), config, largest=largest, search_near=near)


class _Search:
    """All faces of a frame that are large enough.

    Args:
        detector: not entered yet.
        smallest_share: of the longer side of the frame.
    """

    def __init__(self, detector: DenseLandmarkDetector, smallest_share: float) -> None:
        self._detector, self._smallest_share = detector, smallest_share

    def __call__(self, photo: Photo) -> list[Face]:
        smallest_px = max(20.0, self._smallest_share * max(photo.pixels.shape[:2]))
        with self._detector as detector:
            found = detect(photo.pixels, detector, min_face_px=smallest_px)
        if not found:
            raise NoFaceError(f"no face was found in {photo.source}")
        return found


class SearchNear:
    """The faces about a face, in a small picture of its surroundings.

    Args:
        detector: not entered yet.
    """

    def __init__(self, detector: DenseLandmarkDetector) -> None:
        self._detector = detector

    def __call__(self, photo: Photo, face: Face) -> list[Face]:
        height, width = photo.pixels.shape[:2]
        x, y = face.points5.mean(axis=0)
        reach = _NEAR_SIZES * face.size_px
        left, right = (int(np.clip(x + sign * reach, 0, width)) for sign in (-1.0, 1.0))
        top, bottom = (int(np.clip(y + sign * reach, 0, height)) for sign in (-1.0, 1.0))
        if right - left < 2 or bottom - top < 2:  # the face has left the frame
            return []
        scale = min(1.0, _NEAR_FACE_PX / face.size_px)
        size = (max(1, round(scale * (bottom - top))), max(1, round(scale * (right - left))))
        to_frame = np.diag([(right - left) / size[1], (bottom - top) / size[0], 1.0])
        to_frame[:2, 2] = left, top
        with self._detector as detector:
            found = detect(resample(photo.pixels, to_frame, size), detector, min_face_px=0.4 * scale * face.size_px)
        return [_placed(one, to_frame) for one in found]


def _placed(face: Face, to_frame: Float[np.ndarray, "3 3"]) -> Face:
    """Where a face of a part lies in the frame: its box and five points, by which faces are told apart."""
    across, shift = np.diag(to_frame)[:2], to_frame[:2, 2]
    box = face.box * np.tile(across, 2) + np.tile(shift, 2)
    return Face(box, face.points5 * across + shift, face.score, face.detector, face.rotation_deg)


class VideoPoses:
    """The poses of a video, frame by frame. Iterate once.

    Frames are read in one thread, faces followed in another and poses told in a third, in the order of the frames, so results do not depend
    on the timing.

    The focal length is the same in all frames: that of the first pose, as nothing tells it; so a head that only moves keeps its angles
    against the ray, and those against the axis do not waver with the size of the face.

    Args:
        frames: as :class:`recon.io.video.Video` gives them.
        source: of them, for messages.
        estimator: of poses.
        tracks: of this video.

    Attributes:
        broken: what is wrong with a video that could not be read to its end; empty before the end, and of a sound one.
    """

    def __init__(self, frames: Iterable[Frame], source: Path, estimator: PoseEstimator, tracks: FaceTracks) -> None:
        self._frames, self._source, self._estimator, self._tracks = frames, source, estimator, tracks
        self._focal_px: float | None = None
        self.broken = ""

    def __iter__(self) -> Iterator[FramePoses]:
        # Results wait in the order of their frames.
        waiting: collections.deque[Future[FramePoses] | FramePoses] = collections.deque()
        following = 0
        with ThreadPoolExecutor(1, "poses") as pool:
            try:
                for frame in read_ahead(self._frames, _AHEAD):
                    waiting.extend(self._missing(following, frame.index))
                    photo = Photo(frame.pixels, source=f"frame {frame.index} of {self._source}")
                    waiting.append(pool.submit(self._frame, frame, photo, self._tracks.step(photo, frame.time_s)))
                    following = frame.index + 1
                    while len(waiting) > _AHEAD:
                        yield _done(waiting.popleft())
            except BrokenVideoError as error:
                self.broken = reason(error)
            while waiting:
                yield _done(waiting.popleft())

    @staticmethod
    def _missing(first: int, end: int) -> Iterator[FramePoses]:
        for index in range(first, end):
            yield FramePoses(index, None, (PersonPose(None, None, "the frame is damaged or missing"),), None)

    def _frame(self, frame: Frame, photo: Photo, found: list[TrackedFace]) -> FramePoses:
        people = tuple(self._person(photo, frame, tracked) for tracked in found)
        nobody = (PersonPose(None, None, "no face was found"),)
        return FramePoses(frame.index, frame.time_s, people or nobody, frame)

    def _person(self, photo: Photo, frame: Frame, tracked: TrackedFace) -> PersonPose:
        if tracked.face is None:
            away_s = frame.time_s - tracked.seen_s
            return PersonPose(tracked.person, None, f"not seen for {away_s:.2f} s")
        try:
            pose = self._estimator(photo, tracked.face)
        except Exception as error:  # one face must not end a video
            if ends_the_run(error):
                raise
            return PersonPose(tracked.person, None, reason(error))
        return PersonPose(tracked.person, self._at_one_focal_length(photo, pose))

    def _at_one_focal_length(self, photo: Photo, pose: FacePose) -> FacePose:
        if pose.focal_known:
            return pose
        if self._focal_px is None:
            self._focal_px = pose.focal_px
        ray = ray_to_head(photo, pose.face, self._focal_px)
        return dataclasses.replace(pose, ray_cam=ray, focal_px=self._focal_px)


def _done(result: Future[FramePoses] | FramePoses) -> FramePoses:
    return result.result() if isinstance(result, Future) else result
