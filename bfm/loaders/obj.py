"""Wavefront OBJ as blend-shape collections use it: many files of one topology, so vertices must be read fast."""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.files import ModelFileError
from bfm.reading import read_bytes

_LARGEST_OBJ_BYTES = 256 << 20
_NUMBERS_ONLY = re.compile(rb"[0-9eE+\-.\s]*")


@dataclasses.dataclass(frozen=True)
class ObjMesh:
    """A mesh from an OBJ file, polygons split into triangles.

    Attributes:
        vertices: ``(V, 3)`` float64, in the file's units.
        faces: ``(F, 3)`` indices from 0.
        uv: ``(U, 2)`` as in the file.
        uv_faces: ``(F, 3)`` indices into ``uv``.
        materials: ``(F,)`` index into ``material_names`` for each triangle.
        material_names: in order of first use; ``""`` before the first ``usemtl``.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    uv: npt.NDArray[np.float64]
    uv_faces: npt.NDArray[np.int64]
    materials: npt.NDArray[np.int64]
    material_names: tuple[str, ...]


def read_obj_vertices(path: Path) -> npt.NDArray[np.float64]:
    """The ``v x y z`` lines of an OBJ file as ``(V, 3)``; everything else is skipped.

    Raises:
        ModelFileError: a vertex line is malformed.
    """
    return _numbers(path, read_bytes(path, _LARGEST_OBJ_BYTES), b"v", 3)


def read_obj(path: Path) -> ObjMesh:
    """Vertices, faces, texture coordinates and materials of an OBJ file whose corners are all ``v/vt``.

    Raises:
        ModelFileError: a line is malformed, a corner has no texture coordinate, or an index is out of range.
    """
    text = read_bytes(path, _LARGEST_OBJ_BYTES)
    vertices = _numbers(path, text, b"v", 3)
    uv = _numbers(path, text, b"vt", 2)
    names: dict[str, int] = {}
    material = ""
    triangles: list[list[str]] = []
    materials: list[int] = []
    for line in text.decode("utf-8", errors="replace").splitlines():
        if line.startswith("usemtl "):
            material = line[7:].strip()
        elif line.startswith("f "):
            corners = line.split()[1:]
            number = names.setdefault(material, len(names))
            for k in range(1, len(corners) - 1):
                triangles.append([corners[0], corners[k], corners[k + 1]])
                materials.append(number)
    try:
        indices = np.array([[corner.split("/")[:2] for corner in t] for t in triangles], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ModelFileError(path, f"faces must be written as 'f v/vt v/vt v/vt ...' ({error})") from None
    if indices.shape != (len(triangles), 3, 2) or not len(triangles):
        raise ModelFileError(path, f"expected faces with three or more v/vt corners, found {len(triangles)} triangles")
    for column, count, what in ((0, len(vertices), "vertex"), (1, len(uv), "texture coordinate")):
        low, high = int(indices[..., column].min()), int(indices[..., column].max())
        if low < 1 or high > count:
            raise ModelFileError(path, f"{what} indices must lie in 1..{count}, found {low}..{high}")
    indices -= 1
    return ObjMesh(
        vertices=vertices,
        faces=np.ascontiguousarray(indices[..., 0]),
        uv=uv,
        uv_faces=np.ascontiguousarray(indices[..., 1]),
        materials=np.array(materials, dtype=np.int64),
        material_names=tuple(names),
    )


def _numbers(path: Path, text: bytes, keyword: bytes, width: int) -> npt.NDArray[np.float64]:
    """All ``keyword a b ...`` lines as ``(N, width)``.

    The lines nearly always form one block, which one call can parse: 15 ms for 27 000 vertices, 20 times faster than
    line by line.
    """
    head = b"\n" + keyword + b" "
    text = b"\n" + text
    first = text.find(head)
    if first < 0:
        return np.zeros((0, width))
    end = text.find(b"\n", text.rfind(head) + 1)
    block = text[first : end if end >= 0 else len(text)]
    count = block.count(head)
    if block.count(b"\n") != count:
        block = b"\n" + b"\n".join(line for line in block.split(b"\n") if line.startswith(head[1:]))
    numbers = block.replace(head, b"\n")
    # numpy's text parser stops at the first foreign character and only warns, hence the check before it.
    if not _NUMBERS_ONLY.fullmatch(numbers):
        raise ModelFileError(path, f"a '{keyword.decode()}' line holds something that is not a number")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of a number such as "1e"
            values = np.fromstring(numbers, dtype=np.float64, sep=" ")
    except (DeprecationWarning, ValueError):
        raise ModelFileError(path, f"a '{keyword.decode()}' line holds something that is not a number") from None
    if values.size != count * width:
        raise ModelFileError(
            path,
            f"{count} '{keyword.decode()}' lines must hold {width} numbers each, found {values.size} numbers in all",
        )
    return values.reshape(count, width)
