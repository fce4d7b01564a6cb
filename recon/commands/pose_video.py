"""Videos of ``recon pose``: each gets a folder with a table of its frames and people, and, if asked for, itself with the axes drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.photo_batch import BatchStopped, Row
from recon.io.faults import UsageError, ends_the_run, reason
from recon.io.fingerprint import Fingerprint, stream_hash
from recon.io.names import printable
from recon.io.output_folder import OutputFolder, candidate_names, distinct_names
from recon.io.regular_files import open_regular
from recon.io.video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from recon.inference.estimate_poses import PoseOptions
    from recon.inference.head_pose import PoseEstimator
    from recon.inference.video_poses import FramePoses
    from recon.io.video import Video

TABLE, DESCRIPTION, OVERLAY = "poses.csv", "video.json", "axes.mp4"
_MOST_OF_ONE_NAME = 1000


def split_videos(given: list[Path]) -> tuple[list[Path], list[Path]]:
    """Videos among files and folders, and what is left to look for photos in.

    A folder with videos and without any other file stands for its videos alone.

    Raises:
        UsageError: a folder cannot be looked into.
    """
    videos: list[Path] = []
    others: list[Path] = []
    for path in given:
        if not path.is_dir():
            (videos if path.suffix.lower() in VIDEO_SUFFIXES else others).append(path)
            continue
        try:
            files = sorted(file for file in path.iterdir() if file.is_file())
        except OSError as error:
            raise UsageError(f"cannot look into {printable(path)}: {error.strerror or error}") from error
        moving = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
        videos += moving
        if not moving or len(moving) < len(files):
            others.append(path)
    missing = next((path for path in videos if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"no such video: {printable(missing)}")
    return videos, others


def check_videos_can_be_read() -> None:
    """Say now that PyAV is missing, not after the photos.

    Raises:
        ModuleNotFoundError: it is.
    """
    import av  # noqa: F401


@dataclasses.dataclass(frozen=True)
class VideoWork:
    """What is done with videos.

    Attributes:
        estimator: of poses, opened from ``options``.
        options: of it.
        output: where to write.
        facts: what decides poses beside the video.
        all_people: follow everybody, not only one person at a time.
        overlay: also write the video with the axes drawn.
        overwrite: make finished results again.
    """

    estimator: PoseEstimator
    options: PoseOptions
    output: OutputFolder
    facts: Mapping[str, Any]
    all_people: bool
    overlay: bool
    overwrite: bool

    def run(self, paths: list[Path], rows: list[Row]) -> None:
        """Do the videos in turn; each adds a row.

        Raises:
            BatchStopped: the disk is full or was taken away.
        """
        for path, name in zip(paths, distinct_names([path.stem for path in paths]), strict=True):
            try:
                rows.append(self._video(path, name))
            except Exception as error:  # whatever is wrong with one video must not end the others
                rows.append({"name": printable(name), "status": "failed", "reason": reason(error)})
                if ends_the_run(error):
                    raise BatchStopped(f"{reason(error)}; the videos after it were not tried") from error

    def _video(self, path: Path, name: str) -> Row:
        from recon.io.video import MAX_VIDEO_BYTES, open_video

        with open_regular(path, max_bytes=MAX_VIDEO_BYTES)[0] as file:
            sha256 = stream_hash(file)
        owner = {"source": printable(path.absolute()), "sha256": sha256, "kind": "pose video"}
        facts = Fingerprint({**self.facts, "video": sha256, "overlay": self.overlay})
        names = list(dict.fromkeys((name, *candidate_names(path.stem, _MOST_OF_ONE_NAME))))
        claim = self.output.claim(names, owner, wait=True)
        assert claim is not None, "waited for"
        with claim:
            record = claim.finished(0)
            if record is not None and not self.overwrite:
                difference = facts.difference(record.facts)
                if not difference:
                    return {"name": printable(claim.name), "status": "kept"}
                why = f"there is one made from something else ({difference}); --overwrite makes it again"
                return {"name": printable(claim.name), "status": "refused", "reason": why}
            claim.check_replaceable(0)
            video = open_video(path)
            told: dict[str, Any] = {}
            claim.write(0, facts, lambda folder: told.update(self._written(video, folder)))
            return _row(claim.name, told)

    def _written(self, video: Video, folder: Path) -> dict[str, Any]:
        """Writes the files of a video, frame by frame. Gives what is counted.

        Raises:
            VideoError: it has no frame.
        """
        from recon import export
        from recon.export.pose_video_files import PoseRows, video_values
        from recon.inference.video_poses import VideoPoses, make_tracks
        from recon.io.image import Photo
        from recon.io.video import VideoError

        tracks = make_tracks(self.estimator, self.options, largest=not self.all_people)
        poses = VideoPoses(video, video.source, self.estimator, tracks)
        rows, n_frames, n_missing, n_empty = PoseRows(), 0, 0, 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(_one_thread_each())
            draw = stack.enter_context(_overlay(folder / OVERLAY, video.fps)) if self.overlay else None
            for found in _with_progress(poses, video.n_frames):
                n_frames += found.frame is not None
                n_missing += found.frame is None
                n_empty += all(person.pose is None for person in found.people)
                for person in found.people:
                    if person.pose is None or found.frame is None or person.person is None:
                        rows.add_without(found.index, found.time_s, person.person, person.reason)
                        continue
                    photo = Photo(found.frame.pixels, source=str(video.source), scale=video.scale)
                    rows.add(found.index, found.time_s, person.person, person.pose, photo)
                if draw is not None:
                    draw(found)
            if not n_frames:
                raise VideoError(poses.broken or f"{printable(video.source)} has no frame")
        counted = {
            "frames": n_frames,
            "frames_missing": n_missing,
            "frames_without_a_pose": n_empty,
            "poses": rows.n_poses,
            "people": len(rows.people),
            "broken": poses.broken,
        }
        height, width = video.size
        facts = {"source": printable(video.source), "width": width, "height": height, "fps": round(video.fps, 6)}
        values = video_values({**facts, "scale": video.scale}, self.estimator.method, counted)
        export.write_file(folder / TABLE, rows.content())
        export.write_file(folder / DESCRIPTION, (json.dumps(values, indent=1) + "\n").encode())
        return counted


def _row(name: str, counted: Mapping[str, Any]) -> Row:
    said = f"{counted['frames']} frames, {counted['frames_without_a_pose']} without a pose, {counted['people']} people"
    row: Row = {"name": printable(name), "status": "done", "summary": said, **counted}
    if counted["broken"]:
        # What was read is kept, and the exit code says that it is not all.
        row |= {"status": "failed", "reason": f"{counted['broken']}; the rows of {said} are kept"}
    return row


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let faces be followed on one processor and poses told on another: the networks are too small to share their work further."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _overlay(path: Path, fps: float) -> Iterator[Any]:
    """A function that draws a frame's axes into a video."""
    from recon.io.write_video import VideoWriter
    from recon.visualize.pose_axes import pose_axes

    with VideoWriter(path, fps) as writer:

        def draw(found: FramePoses) -> None:
            if found.frame is not None:
                poses = [person.pose for person in found.people if person.pose is not None]
                writer.write(pose_axes(found.frame.pixels, poses), found.time_s)

        yield draw


def _with_progress(poses: Any, n_frames: int | None) -> Iterator[FramePoses]:
    from tqdm import tqdm

    yield from tqdm(poses, total=n_frames, unit="frame")
