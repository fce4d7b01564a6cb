"""A face model as one safetensors file: no pickle, no code, the same bytes for the same model."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from bfm.data import FloatArray, ModelData, ModelDataError, SurfacePoints
from bfm.files import ModelFileError
from bfm.reading import file_size

FORMAT = "facerecon-model-2"
_BASES = ("identity_basis", "expression_basis", "albedo_basis")
_TEXTS = (
    *("name", "licence", "source", "albedo_space"),
    *("identity_prior", "expression_prior", "albedo_prior"),
)
_LARGEST = 32767
_PRIORS = ("normal", "unit")
_WORDS = {"albedo_space": ("linear", "srgb"), **dict.fromkeys(_TEXTS[-3:], _PRIORS)}


def write_model(data: ModelData, path: Path) -> None:
    """Write a model; the file appears whole or not at all.

    Bases are stored as 16-bit integers with one scale a component (an error below 1e-4 of the component's largest
    value), everything else as it is.

    Raises:
        OSError: the folder cannot be written to.
    """
    arrays: dict[str, np.ndarray] = {
        "mean_shape": data.mean_shape.astype(np.float32),
        "mean_albedo": data.mean_albedo.astype(np.float32),
        "uv": data.uv.astype(np.float32),
        "faces": data.faces.astype(np.int32),
        "uv_faces": data.uv_faces.astype(np.int32),
    }
    for name in _BASES:
        arrays[name], arrays[f"{name}.scale"] = _pack(getattr(data, name))
    for name, mask in data.regions.items():
        arrays[f"region.{name}"] = np.packbits(mask)
    for name, points in data.landmarks.items():
        arrays[f"landmarks.{name}.triangles"] = points.triangles.astype(np.int32)
        arrays[f"landmarks.{name}.barycentrics"] = points.barycentrics.astype(np.float32)
    header = {
        **{name: getattr(data, name) for name in _TEXTS},
        "expression_names": data.expression_names,
        "checksum": _checksum(arrays),
    }
    # One entry, because safetensors writes several in an order that changes from call to call.
    text = json.dumps(header, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {FORMAT: text})
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            # A rename may reach the disk before what it names.
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_model(path: Path) -> ModelData:
    """Read what :func:`write_model` wrote.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: damaged, partial, or another kind of file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"face model file {path} does not exist")
    file_size(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    # The library raises types of its own, and others for number formats that numpy does not have.
    except Exception as error:
        raise ModelFileError(path, f"is not a whole safetensors file ({error}); delete it and make it again") from error
    if FORMAT not in metadata:
        raise ModelFileError(path, f"is no face model of this version: its header lacks {FORMAT!r}")
    try:
        header = json.loads(metadata[FORMAT])
        if header["checksum"] != _checksum(arrays):
            raise ModelFileError(path, "does not match its checksum; delete it and make it again")
        return _model(header, arrays)
    except KeyError as error:
        raise ModelFileError(path, f"lacks {error}") from error
    except ModelFileError:
        raise
    # Header and arrays are foreign: they may be of any type, and fit in no way.
    except Exception as error:
        reason = str(error) if isinstance(error, (ModelDataError, json.JSONDecodeError)) else f"{error!r}"
        raise ModelFileError(path, reason) from error


def _model(header: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> ModelData:
    _check_arrays(arrays)
    n_vertices = len(arrays["mean_shape"])
    regions = {
        name.removeprefix("region."): np.unpackbits(bits, count=n_vertices).astype(bool)
        for name, bits in arrays.items()
        if name.startswith("region.")
    }
    sets = [name.split(".", 1)[1].rsplit(".", 1)[0] for name in arrays if name.endswith(".triangles")]
    landmarks = {
        name: SurfacePoints(
            arrays[f"landmarks.{name}.triangles"].astype(np.int64), arrays[f"landmarks.{name}.barycentrics"]
        )
        for name in sets
    }
    values: dict[str, object] = {name: header[name] for name in _TEXTS}
    _check_texts(values)
    values |= {name: _unpack(arrays[name], arrays[f"{name}.scale"]) for name in _BASES}
    values |= {name: arrays[name] for name in ("mean_shape", "mean_albedo", "uv")}
    values |= {name: arrays[name].astype(np.int64) for name in ("faces", "uv_faces")}
    names = header["expression_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelDataError("expression_names must be a list of texts")
    values["expression_names"] = tuple(names)
    return dataclasses.replace(_EMPTY, **values, regions=regions, landmarks=landmarks)  # type: ignore[arg-type]


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Before anything grows by them: a file of a few bytes can name an array of any length whose other side is 0."""
    for name in ("mean_shape", "mean_albedo", "faces", "uv_faces"):
        if arrays[name].ndim != 2 or arrays[name].shape[1] != 3:
            raise ModelDataError(f"{name} must have three columns, got {arrays[name].shape}")
    for name in _BASES:
        basis, scale = arrays[name], arrays[f"{name}.scale"]
        if basis.ndim != 3 or basis.shape[1] != 3 or scale.shape != basis.shape[2:] or basis.dtype != np.int16:
            raise ModelDataError(
                f"{name} must be (V, 3, K) of int16 with K scales, got {basis.shape} and {scale.shape}"
            )
    for name, array in arrays.items():
        wanted = "u" if name.startswith("region.") else "i" if name.endswith((".triangles", "faces")) else "if"
        if array.dtype.kind not in wanted:
            raise ModelDataError(f"{name} must not hold {array.dtype}")


def _check_texts(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        known = _WORDS.get(name)
        if not isinstance(value, str) or (known is not None and value not in known):
            raise ModelDataError(
                f"{name} must be {' or '.join(known) if known else 'a text'}, found {str(value)[:40]!r}"
            )


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Of all names and bytes: a file that lost power while it was written can have its length and hold zeros."""
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(np.ascontiguousarray(arrays[name]).data, zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def _pack(basis: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(basis).max(axis=(0, 1), initial=0.0)
    scale = np.where(largest > 0.0, largest / _LARGEST, 1.0)
    return np.round(basis / scale).astype(np.int16), scale.astype(np.float64)


def _unpack(packed: np.ndarray, scale: np.ndarray) -> FloatArray:
    return np.asarray(packed * scale.astype(np.float32), dtype=np.float32)


_EMPTY = ModelData(
    name="empty",
    licence="",
    source="",
    mean_shape=np.zeros((0, 3), np.float32),
    identity_basis=np.zeros((0, 3, 0), np.float32),
    expression_basis=np.zeros((0, 3, 0), np.float32),
    faces=np.zeros((0, 3), np.int64),
    mean_albedo=np.zeros((0, 3), np.float32),
    albedo_basis=np.zeros((0, 3, 0), np.float32),
)
