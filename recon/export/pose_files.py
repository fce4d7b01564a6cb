"""Head poses for other programs: ``pose.json`` and ``pose.csv`` of one face, and the lines of a table of many."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.export.json_layout import json_text
from recon.face_pose import FacePose
from recon.io.files import write_file
from recon.io.image import Photo
from recon.io.regular_files import FileKindError, read_regular
from recon.reconstruction import HeadPose

SCHEMA, SCHEMA_VERSION = "facerecon-pose", 1
_MAX_BYTES = 1_000_000
CONVENTIONS = {
    "angles": "degrees; R = Rz(roll) Ry(yaw) Rx(pitch); seen by the viewer, positive yaw turns the face to the right, positive pitch "
    "turns it down, positive roll turns the picture counter-clockwise",
    "rotation": "head to camera, rows; x right, y up, z to the viewer; the head faces +z",
    "axis": "against the optical axis of the camera",
    "ray": "against the ray from the camera to the head: a head that faces the camera has yaw and pitch 0 wherever it is",
    "focal_px": "if it is not known, the head is taken to be 1.5 m away, and the angles against the axis follow from that",
    "sigma_deg": "standard deviations of turns about the camera's axes x, y, z; null if the method does not tell",
    "covariance_deg2": "of the rotation vector w, about the camera's axes, with which the true rotation is exp(w) times that found",
}
_ANGLES = ("yaw", "pitch", "roll")
_MATRIX = tuple(f"r{row}{column}" for row in "123" for column in "123")
_SIGMAS = ("sigma_x", "sigma_y", "sigma_z")
CSV_COLUMNS = (
    *("name", "status", "method", "x0_px", "y0_px", "x1_px", "y1_px", "score"),
    *(f"{angle}_ray" for angle in _ANGLES),
    *_ANGLES,
    *_SIGMAS,
    *(f"{cell}_ray" for cell in _MATRIX),
    *_MATRIX,
    "reason",
)
"""Of tables. Angles and sigmas are degrees; ``_ray`` is against the ray to the head, without it against the camera's axis. What is not
known is empty, as is all but the reason in the line of a photo in which no face was found."""


class PoseFileError(ValueError):
    """A file that is no ``pose.json``, or a damaged one."""


def pose_values(found: FacePose, photo: Photo) -> dict[str, Any]:
    """What ``pose.json`` holds of one face."""
    height, width = photo.pixels.shape[:2]
    covariance_deg2 = None if found.covariance is None else _rounded(np.degrees(np.degrees(found.covariance)), 6)
    sigma = None if found.sigma_deg is None else _rounded(found.sigma_deg, 4)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "conventions": CONVENTIONS,
        "photo": {"source": photo.source, "width": width, "height": height, "scale": photo.scale},
        "face": {
            "box": _rounded(found.face.box, 2),
            "score": round(float(found.face.score), 4),
            "detector": found.face.detector,
        },
        "method": found.method,
        "ray": {**_angles(found.pose_ray), "rotation": _rounded(found.rotation_ray, 8)},
        "axis": {**_angles(found.pose), "rotation": _rounded(found.rotation, 8)},
        "ray_direction": _rounded(found.ray_cam, 8),
        "focal_px": round(found.focal_px, 3),
        "focal_known": found.focal_known,
        "sigma_deg": sigma,
        "covariance_deg2": covariance_deg2,
    }


def write_pose_json(path: str | os.PathLike[str], found: FacePose, photo: Photo, *, overwrite: bool = False) -> Path:
    """Write the pose of one face with conventions and schema version.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    return write_file(path, (json_text(pose_values(found, photo)) + "\n").encode(), overwrite=overwrite)


def read_pose_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a ``pose.json``, as :func:`pose_values` gives them.

    Raises:
        PoseFileError: it is no such file, of another version, or damaged.
        OSError: it cannot be opened.
    """
    try:
        content = json.loads(read_regular(path, max_bytes=_MAX_BYTES).decode("utf-8"))
    except (FileKindError, ValueError, RecursionError) as error:
        raise PoseFileError(f"{path} is no pose.json of recon: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise PoseFileError(f'{path} is no pose.json of recon: it lacks "schema": "{SCHEMA}"')
    if content.get("schema_version") != SCHEMA_VERSION:
        raise PoseFileError(f"{path} has version {content.get('schema_version')}, this recon reads {SCHEMA_VERSION}")
    return content


def table_line(name: str, status: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a face in a table.

    Args:
        name: of its results.
        status: what became of it.
        values: as :func:`pose_values` gives them.

    Raises:
        PoseFileError: values lack something.
    """
    try:
        line: dict[str, Any] = {"name": name, "status": status, "method": values["method"]}
        line |= dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), values["face"]["box"], strict=True))
        line["score"] = values["face"]["score"]
        for key, ending in (("ray", "_ray"), ("axis", "")):
            line |= {f"{angle}{ending}": values[key][angle] for angle in _ANGLES}
            cells = [cell for row in values[key]["rotation"] for cell in row]
            line |= {f"{cell}{ending}": number for cell, number in zip(_MATRIX, cells, strict=True)}
        if values["sigma_deg"] is not None:
            line |= dict(zip(_SIGMAS, values["sigma_deg"], strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise PoseFileError(f"the pose of {name} is damaged: {type(error).__name__} {error}") from error
    return line


def table_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines of :func:`table_line`, or of failures with ``name``, ``status`` and ``reason``, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _angles(pose: HeadPose) -> dict[str, float]:
    return {angle: round(getattr(pose, angle), 4) for angle in _ANGLES}


def _rounded(array: np.ndarray, digits: int) -> list[Any]:
    return np.asarray(array, dtype=np.float64).round(digits).tolist()
