"""Binary glTF 2.0 with texture, normals and morph targets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.color import srgb_to_linear
from recon.export.animation import HeadAnimation, add_animation
from recon.export.glb_file import encode_chunks
from recon.export.mesh import GENERATOR, ExportMesh, MeshError, split_at_seams, vertex_normals
from recon.io.files import write_file
from recon.io.png import encode_png

_MM_PER_M = 1000.0
_NEGLIGIBLE_M = 1e-6
"""Morph offsets below a micrometre are written as none."""

_BYTE, _USHORT, _UINT, _FLOAT = 5121, 5123, 5125, 5126
_VERTEX_DATA, _INDEX_DATA = 34962, 34963
_NUMPY = {_USHORT: "<u2", _UINT: "<u4", _FLOAT: "<f4"}


def write_glb(
    path: str | os.PathLike[str],
    mesh: ExportMesh,
    *,
    weights: Mapping[str, float] | None = None,
    animation: HeadAnimation | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one GLB file: metres, +y up, the face looks along +z, which is glTF's front.

    Vertices are split at texture seams. The texture is embedded as PNG; without a texture, vertex colours are written
    (as linear light, as glTF wants them). Morph targets hold positions, each as a sparse accessor where that is smaller;
    their names are in ``mesh.extras.targetNames``, which Blender, three.js and Babylon.js read.

    Args:
        weights: initial weights of morph targets by name; the others, and all by default, are 0.
        animation: how the head moves before a camera, which becomes a node of its own; its first key takes the place of ``weights``.

    Raises:
        MeshError: ``weights`` names a target the mesh has not, or holds nan or inf; an animation of other targets.
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    return write_file(path, encode_glb(mesh, weights, animation), overwrite=overwrite)


def encode_glb(
    mesh: ExportMesh, weights: Mapping[str, float] | None = None, animation: HeadAnimation | None = None
) -> bytes:
    """The bytes of :func:`write_glb`'s file."""
    buffer = _Buffer()
    document = _document(mesh, initial_weights(mesh, weights), buffer)
    if animation is not None:
        add_animation(document, buffer, animation, _FLOAT)
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data) + -len(buffer.data) % 4}],
    }
    return encode_chunks(document, bytes(buffer.data) + b"\0" * (-len(buffer.data) % 4))


class _Buffer:
    """The binary chunk as it grows, with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.data += data
        self.views.append(view)
        return len(self.views) - 1

    def array(self, values: np.ndarray, component: int, target: int | None, *, bounds: bool = False) -> int:
        """An accessor to ``(N,)`` scalars or ``(N, 2 to 4)`` vectors."""
        stored = np.ascontiguousarray(values, dtype=_NUMPY[component])
        accessor = {"bufferView": self.view(stored.tobytes(), target), **_shape(stored, component)}
        if bounds:
            accessor |= _bounds(stored if stored.ndim > 1 else stored[:, None])
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def offsets(self, offsets_m: np.ndarray) -> int:
        """An accessor to morph offsets ``(N, 3)``, sparse where that takes fewer bytes."""
        stored = np.where(np.abs(offsets_m).max(axis=1, keepdims=True) >= _NEGLIGIBLE_M, offsets_m, 0.0)
        stored = stored.astype(_NUMPY[_FLOAT])
        moved = np.flatnonzero(stored.any(axis=1))
        if len(moved) == 0:
            moved = np.zeros(1, dtype=np.int64)  # a sparse accessor lists at least one element
        component = _USHORT if len(stored) <= 0xFFFF else _UINT
        indices = moved.astype(_NUMPY[component])
        if indices.nbytes + stored[moved].nbytes >= stored.nbytes:
            return self.array(stored, _FLOAT, _VERTEX_DATA, bounds=True)
        sparse = {
            "count": len(moved),
            "indices": {"bufferView": self.view(indices.tobytes()), "componentType": component},
            "values": {"bufferView": self.view(stored[moved].tobytes())},
        }
        self.accessors.append({**_shape(stored, _FLOAT), **_bounds(stored), "sparse": sparse})
        return len(self.accessors) - 1


def _shape(stored: np.ndarray, component: int) -> dict[str, Any]:
    kind = "SCALAR" if stored.ndim == 1 else f"VEC{stored.shape[1]}"
    return {"componentType": component, "count": len(stored), "type": kind}


def _bounds(stored: np.ndarray) -> dict[str, Any]:
    return {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}


def _document(mesh: ExportMesh, weights: list[float], buffer: _Buffer) -> dict[str, Any]:
    split = split_at_seams(mesh)
    positions_m = np.asarray(mesh.vertices_mm, dtype=np.float64)[split.vertex] / _MM_PER_M
    attributes = {
        "POSITION": buffer.array(positions_m, _FLOAT, _VERTEX_DATA, bounds=True),
        "NORMAL": buffer.array(vertex_normals(mesh)[split.vertex], _FLOAT, _VERTEX_DATA),
    }
    if mesh.uv is not None:
        # glTF's texture origin is the upper left.
        uv = np.asarray(mesh.uv, dtype=np.float64)[split.uv] * [1.0, -1.0] + [0.0, 1.0]
        attributes["TEXCOORD_0"] = buffer.array(uv, _FLOAT, _VERTEX_DATA)
    if mesh.colors is not None and mesh.texture is None:
        linear = srgb_to_linear(torch.tensor(mesh.colors, dtype=torch.float64)).numpy()
        attributes["COLOR_0"] = buffer.array(linear[split.vertex], _FLOAT, _VERTEX_DATA)
    # The largest index value of a type is reserved for restarting primitives.
    index_type = _USHORT if len(positions_m) <= 0xFFFF else _UINT
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": buffer.array(split.faces.reshape(-1), index_type, _INDEX_DATA),
        "material": 0,
        "mode": 4,
    }
    gltf_mesh: dict[str, Any] = {"name": mesh.name, "primitives": [primitive]}
    if mesh.morph_targets:
        targets_m = [np.asarray(mm, dtype=np.float64)[split.vertex] / _MM_PER_M for mm in mesh.morph_targets.values()]
        primitive["targets"] = [{"POSITION": buffer.offsets(offsets_m)} for offsets_m in targets_m]
        gltf_mesh["weights"] = weights
        gltf_mesh["extras"] = {"targetNames": list(mesh.morph_targets)}
    material: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.6}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": _CONVENTIONS},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": mesh.name}],
        "meshes": [gltf_mesh],
        "materials": [{"name": "skin", "pbrMetallicRoughness": material, "doubleSided": False}],
    }
    if mesh.texture is not None:
        image = {"bufferView": buffer.view(encode_png(mesh.texture)), "mimeType": "image/png", "name": "skin"}
        document |= {
            "images": [image],
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
            "textures": [{"source": 0, "sampler": 0}],
        }
        material["baseColorTexture"] = {"index": 0}
    return document


_CONVENTIONS = {
    "units": "metres",
    "axes": "right-handed; x to the viewer's right, y up, the face looks along +z",
    "winding": "counter-clockwise seen from outside",
    "morph_targets": "position offsets at full weight, added to the positions; weights in 0..1",
}


def initial_weights(mesh: ExportMesh, weights: Mapping[str, float] | None) -> list[float]:
    """The weight of each morph target, in the mesh's order; 0 where none is given.

    Raises:
        MeshError: a target that the mesh has not, nan or inf.
    """
    given = dict(weights or {})
    unknown = [name for name in given if name not in mesh.morph_targets]
    if unknown:
        raise MeshError(
            f"weights name morph targets the mesh has not: {', '.join(unknown)}; it has: "
            f"{', '.join(mesh.morph_targets) or 'none'}"
        )
    values = [float(given.get(name, 0.0)) for name in mesh.morph_targets]
    if not np.isfinite(values).all():
        raise MeshError("initial weights of morph targets hold nan or inf")
    return values
