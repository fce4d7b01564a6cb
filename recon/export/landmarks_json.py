"""``landmarks.json``: the landmarks of one face with all that is known of them, written and read."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from recon.detection.landmark_sets import FaceLandmarks, LandmarkSet
from recon.export.json_layout import json_text
from recon.io.files import write_file
from recon.io.names import printable
from recon.io.regular_files import FileKindError, read_regular

SCHEMA, SCHEMA_VERSION = "facerecon-landmarks", 1
_MAX_BYTES = 50_000_000
_FIELDS = tuple(field.name for field in dataclasses.fields(LandmarkSet))
_CONVENTIONS = {
    "pixels": "x right, y down, origin at the top-left corner of the picture, pixel centres at +0.5",
    "photo": "upright, as EXIF says; scale is its size over that of the picture in the file",
    "box": "x0, y0, x1, y1",
    "sigma_px": "standard deviation of x and of y; null where the detector does not tell",
    "sigma_depth_px": "standard deviation of the depth",
    "visible": "probability that the point is inside the picture and not hidden",
    "sets": "by their number of points; the 68 are the first points of the 520",
    "numbers": "float32; reading them as float32 gives the same values back",
}


class LandmarkFileError(ValueError):
    """A file that is no ``landmarks.json``, or a damaged one."""

    def __init__(self, path: str | os.PathLike[str], fault: str) -> None:
        super().__init__(f"{printable(path)} {printable(' '.join(fault.split()))}")


def write_landmarks_json(path: str | os.PathLike[str], landmarks: FaceLandmarks, *, overwrite: bool = False) -> Path:
    """Write landmarks with schema version and conventions.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    return write_file(path, encode_landmarks_json(landmarks).encode(), overwrite=overwrite)


def encode_landmarks_json(landmarks: FaceLandmarks) -> str:
    """The text of the file; the same landmarks always give the same text."""
    width, height = landmarks.photo_size
    values = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "conventions": {**_CONVENTIONS, "depth_px": landmarks.depth_meaning},
        "photo": {"source": landmarks.source, "width": width, "height": height, "scale": landmarks.photo_scale},
        "face": {
            "box": numbers(landmarks.box),
            "score": landmarks.score,
            "detector": landmarks.detector,
            "rotation_deg": landmarks.rotation_deg,
        },
        "sets": {
            name: {field: numbers(getattr(points, field)) for field in _FIELDS}
            for name, points in landmarks.sets.items()
        },
    }
    return json_text(values) + "\n"


def numbers(array: np.ndarray | None) -> list[Any] | None:
    """float32 as Python numbers with no more digits than tell them apart; None stays None."""
    if array is None:
        return None
    # NumPy's text of a float32 is the shortest that gives it back; Python's float keeps those digits.
    return [float(text) if isinstance(text, str) else [float(t) for t in text] for text in array.astype(str).tolist()]


def read_landmarks(path: str | os.PathLike[str]) -> FaceLandmarks:
    """The landmarks of a ``landmarks.json``, equal to those that were written.

    Raises:
        LandmarkFileError: it is no such file, of another version, or damaged; the message says where.
        OSError: it cannot be opened.
    """
    try:
        content = json.loads(read_regular(path, max_bytes=_MAX_BYTES).decode("utf-8"))
    except FileKindError as error:
        raise LandmarkFileError(path, f"cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise LandmarkFileError(path, f"is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise LandmarkFileError(path, f'is no landmarks.json of recon: it lacks "schema": "{SCHEMA}"')
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise LandmarkFileError(path, f"has version {str(version)[:20]}, this recon reads {SCHEMA_VERSION}: update it")
    try:
        return _landmarks(content)
    except KeyError as error:
        raise LandmarkFileError(path, f"is damaged: it lacks {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise LandmarkFileError(path, f"is damaged: {error}") from error


def _landmarks(content: Mapping[str, Any]) -> FaceLandmarks:
    photo, face = content["photo"], content["face"]
    box = _array(face["box"])
    if box.shape != (4,):
        raise ValueError(f"a box has four numbers, got shape {box.shape}")
    return FaceLandmarks(
        source=str(photo["source"]),
        photo_size=(int(photo["width"]), int(photo["height"])),
        photo_scale=float(photo["scale"]),
        box=box,
        score=float(face["score"]),
        detector=str(face["detector"]),
        rotation_deg=int(face["rotation_deg"]),
        depth_meaning=str(content["conventions"]["depth_px"]),
        sets=MappingProxyType({name: _set(name, values) for name, values in content["sets"].items()}),
    )


def _set(name: str, values: Mapping[str, Any]) -> LandmarkSet:
    arrays = {field: None if values[field] is None else _array(values[field]) for field in _FIELDS}
    xy = arrays.pop("xy_px")
    if xy is None or xy.ndim != 2:
        raise ValueError(f"the set {name[:20]!r} has no points (N, 2)")
    return LandmarkSet(xy, **arrays)


def _array(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=np.float32)
