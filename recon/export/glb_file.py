"""GLB files taken apart, to add to them: what is in them stays as it is."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from recon.export.mesh import MeshError
from recon.io.names import printable

MAX_GLB_BYTES = 1 << 30
_HEADER, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclasses.dataclass(frozen=True)
class MorphedNode:
    """A node whose mesh has named morph targets.

    Attributes:
        node, mesh: their numbers in the document.
        names: of the targets.
        weights: of the targets as the file sets them.
    """

    node: int
    mesh: int
    names: tuple[str, ...]
    weights: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class GlbFile:
    """The parts of a GLB file.

    Attributes:
        document: the JSON.
        binary: the buffer.
    """

    document: dict[str, Any]
    binary: bytes

    def morphed_nodes(self) -> list[MorphedNode]:
        """All nodes whose mesh has morph targets with names (``extras.targetNames``, as Blender, three.js and this project write them).

        Raises:
            MeshError: names and targets that do not fit.
        """
        found = []
        for number, node in enumerate(self.document.get("nodes", ())):
            if "mesh" not in node:
                continue
            mesh = self.document["meshes"][node["mesh"]]
            extras = mesh.get("extras")
            names = extras.get("targetNames") if isinstance(extras, dict) else None
            targets = mesh["primitives"][0].get("targets", ())
            if not names or not targets:
                continue
            weights = node.get("weights", mesh.get("weights", [0.0] * len(targets)))
            if len(names) != len(targets) or len(weights) != len(targets):
                raise MeshError(
                    f"mesh {node['mesh']} has {len(targets)} morph targets, {len(names)} names, {len(weights)} weights"
                )
            found.append(MorphedNode(number, node["mesh"], tuple(map(str, names)), tuple(map(float, weights))))
        return found

    def accessor(self, number: int) -> np.ndarray:
        """The values of an accessor, ``(N,)`` or ``(N, K)``; integers that stand for [0, 1] or [-1, 1] as such.

        Raises:
            MeshError: it does not lie in the buffer, or is of a kind that is not read here.
        """
        accessor = self.document["accessors"][number]
        width = _WIDTHS.get(accessor["type"])
        if width is None or accessor["componentType"] not in _COMPONENTS:
            raise MeshError(f"accessor {number} is of a kind that is not read here: {accessor['type']}")
        dtype, count = np.dtype(_COMPONENTS[accessor["componentType"]]), int(accessor["count"])
        if "bufferView" in accessor:
            values = self._elements(accessor["bufferView"], accessor.get("byteOffset", 0), dtype, count, width)
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            n, at = int(sparse["count"]), sparse["indices"]
            index_type = np.dtype(_COMPONENTS[at["componentType"]])
            rows = self._elements(at["bufferView"], at.get("byteOffset", 0), index_type, n, 1)[:, 0]
            if n and int(rows.max()) >= count:
                raise MeshError(f"accessor {number} has sparse values out of its range")
            part = sparse["values"]
            values = values.copy()
            values[rows] = self._elements(part["bufferView"], part.get("byteOffset", 0), dtype, n, width)
        if accessor.get("normalized") and dtype.kind in "iu":
            values = np.maximum(values.astype(np.float64) / np.iinfo(dtype).max, -1.0)
        return values[:, 0] if width == 1 else values

    def view(self, number: int) -> bytes:
        """The bytes of a buffer view.

        Raises:
            MeshError: it does not lie in the buffer.
        """
        view = self.document["bufferViews"][number]
        start = int(view.get("byteOffset", 0))
        end = start + int(view["byteLength"])
        if view.get("buffer", 0) != 0 or not 0 <= start <= end <= len(self.binary) or "extensions" in view:
            raise MeshError(f"buffer view {number} does not lie in the file itself, or is compressed")
        return self.binary[start:end]

    def _elements(self, view: int, offset: int, dtype: np.dtype, count: int, width: int) -> np.ndarray:
        data = self.view(view)
        size = dtype.itemsize * width
        stride = int(self.document["bufferViews"][view].get("byteStride", size))
        if count < 0 or offset < 0 or stride < size or (count and offset + (count - 1) * stride + size > len(data)):
            raise MeshError(f"an accessor does not lie in its buffer view {view}")
        if count == 0:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))


def read_glb(path: str | os.PathLike[str]) -> GlbFile:
    """Take a file apart.

    Raises:
        MeshError: no such file, or no sound GLB file of version 2.
    """
    place = Path(path)
    if not place.is_file():
        raise MeshError(f"no such GLB file: {printable(place)}")
    if place.stat().st_size > MAX_GLB_BYTES:
        raise MeshError(f"{printable(place)} is larger than {MAX_GLB_BYTES >> 20} MB")
    data = place.read_bytes()
    if data[:4] != b"glTF":
        raise MeshError(
            f"{printable(place)} is no GLB file; export the head as .glb (a .gltf has its numbers elsewhere)"
        )
    try:
        return decode_glb(data)
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MeshError(f"{printable(place)} is a damaged GLB file: {error}") from error


def decode_glb(data: bytes) -> GlbFile:
    """The parts of a GLB file's bytes.

    Raises:
        ValueError, struct.error: it is damaged, or not of version 2.
    """
    _, version, length = _HEADER.unpack_from(data)
    if version != 2 or length != len(data):
        raise ValueError(f"version {version} (2 is read), {len(data)} bytes of {length}")
    chunks: dict[bytes, bytes] = {}
    at = _HEADER.size
    while at < length:
        size, kind = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        if at + size > length:
            raise ValueError("it ends within a chunk")
        chunks.setdefault(kind, data[at : at + size])
        at += size
    document = json.loads(chunks.get(b"JSON", b""))
    if not isinstance(document, dict):
        raise ValueError("its JSON is no object")
    return GlbFile(document, chunks.get(b"BIN\0", b""))


def encode_chunks(document: dict[str, Any], binary: bytes) -> bytes:
    """The bytes of a GLB file.

    Args:
        document: whose first buffer has the length of ``binary``.
        binary: a multiple of four bytes.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = _CHUNK.pack(len(text), b"JSON") + text + _CHUNK.pack(len(binary), b"BIN\0") + binary
    return _HEADER.pack(b"glTF", 2, _HEADER.size + len(chunks)) + chunks
