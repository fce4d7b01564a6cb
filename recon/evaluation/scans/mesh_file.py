"""Triangles from OBJ, PLY and STL files of unknown origin.

trimesh's parsers run in a process of their own, see :mod:`bfm.isolated`, on the bytes of the one file: textures and
material files that a mesh names are not looked for.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bfm.files import ModelFileError
from bfm.isolated import call_isolated
from bfm.reading import file_size, read_bytes

MESH_SUFFIXES = (".obj", ".ply", ".stl")
LARGEST_MESH_BYTES = 1 << 30
_LONGEST_HEADER = 10_000
_PLY_COUNTS = re.compile(rb"^element (vertex|face) +(\d{1,18})\s*$", re.MULTILINE)
_FARTHEST = 1e9
"""No scan in any unit has a coordinate beyond it; its square still has all its digits."""


def read_mesh(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices in the file's unit (nan and inf as they are in it) and triangles.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: another suffix, over :data:`LARGEST_MESH_BYTES`, damaged, empty, with an index of a vertex that
            does not exist, or with coordinates beyond all sense.
        ReaderProcessError: the reading process cannot be started.
    """
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise ModelFileError(path, f"is no mesh that can be read; known: {', '.join(MESH_SUFFIXES)}")
    file_size(path, LARGEST_MESH_BYTES)
    found = call_isolated("recon.evaluation.scans.mesh_file:parse_mesh", path)
    vertices, faces = found["vertices"], found["faces"]
    if len(vertices) == 0 or len(faces) == 0:
        raise ModelFileError(
            path, f"holds {len(vertices)} vertices and {len(faces)} triangles; a mesh with both is needed"
        )
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ModelFileError(path, f"holds vertices {vertices.shape} and faces {faces.shape}; triangles are needed")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ModelFileError(
            path, f"has {len(vertices)} vertices, but its triangles name {faces.min()}..{faces.max()} (counted from 0)"
        )
    farthest = float(np.abs(vertices[np.isfinite(vertices)]).max(initial=0.0))
    if farthest > _FARTHEST:
        raise ModelFileError(path, f"has a coordinate of {farthest:.3g}, which is no place on a face in any unit")
    return vertices, faces


def import_libraries() -> None:
    """Import what :func:`parse_mesh` needs, before its memory is limited; trimesh imports most of it when it first reads."""
    import trimesh

    trimesh.load(io.BytesIO(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"), file_type="obj", force="mesh", process=False)


def parse_mesh(path: Path) -> dict[str, np.ndarray]:
    """What :func:`read_mesh` does, in the reading process."""
    import trimesh

    # From memory and not from its place: trimesh then knows no folder in which to look for other files.
    content = read_bytes(path, LARGEST_MESH_BYTES)
    mesh: Any = trimesh.load(
        io.BytesIO(content), file_type=path.suffix.lower()[1:], force="mesh", process=False, skip_materials=True
    )
    vertices, faces = np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
    if path.suffix.lower() == ".ply":
        # trimesh takes what there is of a text file that was cut off.
        stated = {name: int(count) for name, count in _PLY_COUNTS.findall(content[:_LONGEST_HEADER])}
        if stated.get(b"vertex", len(vertices)) != len(vertices) or stated.get(b"face", 0) > len(faces):
            raise ModelFileError(
                path,
                f"cut off: states {stated.get(b'vertex')} vertices and {stated.get(b'face')} faces, holds {len(vertices)} "
                f"and {len(faces)}",
            )
    return {"vertices": vertices, "faces": faces}
