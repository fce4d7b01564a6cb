"""Head poses of a video for other programs: a table with a row a frame and person, and what its columns mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from recon.export.pose_files import CONVENTIONS, CSV_COLUMNS, SCHEMA_VERSION, pose_values, table_line
from recon.face_pose import FacePose
from recon.io.image import Photo

VIDEO_SCHEMA = "facerecon-pose-video"
VIDEO_COLUMNS = ("frame", "time_s", "person", *(name for name in CSV_COLUMNS if name != "name"))
"""Of ``poses.csv`` of a video. Where there is no pose, all is empty from ``method`` on but ``reason``."""


class PoseRows:
    """The rows of a video's table, one after the other, and what is counted on the way.

    Attributes:
        n_poses: rows with a pose.
        people: numbers of the people with a pose in some frame.
    """

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.DictWriter(self._text, VIDEO_COLUMNS, restval="", lineterminator="\n")
        self._writer.writeheader()
        self.n_poses = 0
        self.people: set[int] = set()

    def add(self, frame: int, time_s: float | None, person: int, pose: FacePose, photo: Photo) -> None:
        """A row with a pose."""
        line = table_line("", "done", pose_values(pose, photo))
        line.pop("name")
        self._writer.writerow({**_head(frame, time_s, person), **line})
        self.n_poses += 1
        self.people.add(person)

    def add_without(self, frame: int, time_s: float | None, person: int | None, reason: str) -> None:
        """A row without a pose."""
        self._writer.writerow({**_head(frame, time_s, person), "status": "failed", "reason": reason})

    def content(self) -> bytes:
        """The table."""
        return self._text.getvalue().encode()


def _head(frame: int, time_s: float | None, person: int | None) -> dict[str, Any]:
    return {
        "frame": frame,
        "time_s": "" if time_s is None else f"{time_s:.6f}",
        "person": "" if person is None else person,
    }


def video_values(video: Mapping[str, Any], method: str, counted: Mapping[str, Any]) -> dict[str, Any]:
    """What ``video.json`` holds beside the table.

    Args:
        video: source, size and rate.
        method: that told the poses.
        counted: frames, poses and people.
    """
    return {
        "schema": VIDEO_SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "conventions": CONVENTIONS,
        "video": dict(video),
        "method": method,
        **counted,
    }
