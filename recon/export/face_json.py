"""The numbers of a reconstruction as JSON that says what they mean."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.export.json_layout import json_text
from recon.io.files import write_file

SCHEMA_VERSION = 1
SIGNIFICANT_DIGITS = 7

_HEAD: dict[str, Any] = {
    "schema": "facerecon-face",
    "schema_version": SCHEMA_VERSION,
    "units": {
        "length": "millimetre",
        "angle": "degree",
        "image": "pixel",
        "identity": "standard deviation",
        "albedo": "standard deviation",
        "expression_weight": "0 to 1, or standard deviation where the model's weights are not bounded",
        "lighting": "radiance coefficient of real spherical harmonics of order 2",
    },
    "conventions": {
        "frame": "right-handed; x to the viewer's right, y up, z to the viewer; the face looks along +z",
        "camera": "at the origin, looking along -z; v_camera = rotation v_object + translation",
        "camera_model": "pixel = principal + focal (x, -y) / d of v_camera; d is -z for perspective, -z of the translation for "
        "weak_perspective",
        "pixels": "x right, y down, origin at the top-left corner of the picture, pixel centres at +0.5",
        "rotation": "Rz(roll) Ry(yaw) Rx(pitch)",
        "depth": "planar distance along the optical axis, positive in front of the camera",
        "significant_digits": SIGNIFICANT_DIGITS,
    },
}


def write_face_json(path: str | os.PathLike[str], values: Mapping[str, object], *, overwrite: bool = False) -> Path:
    """Write ``values`` with schema version, units and conventions; see :func:`encode_face_json`.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    return write_file(path, encode_face_json(values).encode(), overwrite=overwrite)


def encode_face_json(values: Mapping[str, object]) -> str:
    """JSON text of numbers, texts, None, arrays and nested mappings and sequences of them.

    Keys are sorted, numbers have 7 significant digits, arrays of numbers stand on one line; the same values always give
    the same text. ``schema``, ``schema_version``, ``units`` and ``conventions`` come first and belong to the format.

    Raises:
        ValueError: a number is nan or inf, or a key belongs to the format; the message names the key.
        TypeError: a value of another kind, or a key that is no text.
    """
    taken = [key for key in values if key in _HEAD]
    if taken:
        raise ValueError(f"the keys {', '.join(taken)} belong to the format of face.json; use other names")
    plain = {**_HEAD, **dict(sorted((_plain(values, "")).items()))}
    return json_text(plain) + "\n"


def _plain(value: object, key: str) -> Any:
    """The value in JSON's own types; ``key`` is its place, for messages."""
    if isinstance(value, Mapping):
        wrong = [k for k in value if not isinstance(k, str)]
        if wrong:
            raise TypeError(f"{key or 'face.json'}: keys must be text, got {wrong[0]!r}")
        return {k: _plain(value[k], f"{key}.{k}" if key else k) for k in sorted(value)}
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _rounded(float(value), key)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), key)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(item, f"{key}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{key}: {type(value).__name__} cannot be written to face.json; convert it to numbers or arrays")


def _rounded(value: float, key: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{key} is {value}: face.json holds finite numbers only; leave it out or write None")
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
