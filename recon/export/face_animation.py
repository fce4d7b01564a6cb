"""Face shapes that move, added to a GLB file of any origin: its meshes, materials and other animations stay as they are."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.export.glb_file import GlbFile, MorphedNode, encode_chunks
from recon.export.mesh import MeshError

_FLOAT = 5126
_PIVOT_SHARE = 0.3
"""Height of the point about which a head turns, from the bottom of its box: the neck of a bust, the jaw of a mask."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceAnimation:
    """K keys of a face; viewers go straight from one to the next.

    Attributes:
        time_s: ``(K,)`` rising, from 0.
        weights: ``(K,)`` of each morph target that moves, by name; all others keep the value that the file gives them.
        rotation: ``(K, 3, 3)`` of the head about its own rest, in its own axes (x right, y up, z forward).
        name: of the animation.
    """

    time_s: Float[np.ndarray, " k"]
    weights: Mapping[str, Float[np.ndarray, " k"]]
    rotation: Float[np.ndarray, "k 3 3"]
    name: str = "speech"

    def __post_init__(self) -> None:
        n = len(self.time_s)
        if n == 0 or self.time_s[0] < 0.0 or not (np.diff(self.time_s) > 0.0).all():
            raise MeshError(f"an animation needs keys whose times rise from 0 on, got {n}")
        arrays = {"rotation": (self.rotation, (n, 3, 3)), **{k: (v, (n,)) for k, v in self.weights.items()}}
        for name, (values, shape) in arrays.items():
            if values.shape != shape or not np.isfinite(values).all():
                raise MeshError(
                    f"{name} of an animation of {n} keys must be {shape} finite numbers, got {values.shape}"
                )


def driven_nodes(glb: GlbFile, names: tuple[str, ...]) -> list[MorphedNode]:
    """The nodes of a file that have some of the morph targets that are to move.

    Raises:
        MeshError: there are none; the message says what the file has.
    """
    morphed = glb.morphed_nodes()
    found = [node for node in morphed if set(node.names) & set(names)]
    if found:
        return found
    held = sorted({name for node in morphed for name in node.names})
    said = (
        f"its morph targets are {', '.join(held[:8])}" + ("..." if len(held) > 8 else "")
        if held
        else "it has no morph targets"
    )
    raise MeshError(
        f"no mesh of the file has morph targets with ARKit's names ({', '.join(names[:3])}, ...): {said}; recon reconstruct writes "
        "heads that have them"
    )


def animated_glb(glb: GlbFile, animation: FaceAnimation, note: str) -> bytes:
    """The bytes of a file with an animation added, before those that it has.

    The head turns by a new node above the scene's nodes that hold the moved meshes.

    Args:
        glb: stays as it is.
        animation: of it.
        note: where the animation comes from; it is written to ``asset.extras.provenance``.

    Raises:
        MeshError: see :func:`driven_nodes`.
    """
    nodes = driven_nodes(glb, tuple(animation.weights))
    document = copy.deepcopy(glb.document)
    data = _Appended(document, glb.binary)
    times = data.accessor(animation.time_s, "SCALAR", bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def add(node: int, path: str, values: np.ndarray, kind: str) -> None:
        samplers.append({"input": times, "output": data.accessor(values, kind), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})

    for node in nodes:
        keys = [
            animation.weights.get(name, np.full(len(animation.time_s), w))
            for name, w in zip(node.names, node.weights, strict=True)
        ]
        add(node.node, "weights", np.stack(keys, axis=1).ravel(), "SCALAR")
    if not np.allclose(animation.rotation, np.eye(3), atol=1e-7):
        turned = _add_pivot(document, {node.node for node in nodes})
        pivot_m = _pivot(glb, nodes)
        add(turned, "rotation", _quaternions(animation.rotation), "VEC4")
        add(turned, "translation", pivot_m - animation.rotation @ pivot_m, "VEC3")
    document["animations"] = [
        {"name": animation.name, "samplers": samplers, "channels": channels},
        *document.get("animations", []),
    ]
    extras = document.setdefault("asset", {"version": "2.0"}).get("extras")
    document["asset"]["extras"] = {**(extras if isinstance(extras, dict) else {}), "provenance": note}
    return encode_chunks(document, data.finished())


class _Appended:
    """The buffer of a document as it grows."""

    def __init__(self, document: dict[str, Any], binary: bytes) -> None:
        self._document, self._data = document, bytearray(binary)

    def accessor(self, values: np.ndarray, kind: str, *, bounds: bool = False) -> int:
        stored = np.ascontiguousarray(values, dtype="<f4")
        self._data += b"\0" * (-len(self._data) % 4)
        views = self._document.setdefault("bufferViews", [])
        views.append({"buffer": 0, "byteOffset": len(self._data), "byteLength": stored.nbytes})
        self._data += stored.tobytes()
        accessor: dict[str, Any] = {
            "bufferView": len(views) - 1,
            "componentType": _FLOAT,
            "count": len(stored),
            "type": kind,
        }
        if bounds:
            accessor |= {"min": [float(stored.min())], "max": [float(stored.max())]}
        accessors = self._document.setdefault("accessors", [])
        accessors.append(accessor)
        return len(accessors) - 1

    def finished(self) -> bytes:
        data = bytes(self._data) + b"\0" * (-len(self._data) % 4)
        self._document["buffers"] = [{"byteLength": len(data)}, *self._document.get("buffers", [])[1:]]
        return data


def _add_pivot(document: dict[str, Any], moved: set[int]) -> int:
    """A new node above the roots that hold the moved meshes."""
    nodes = document["nodes"]
    scene = document["scenes"][document.get("scene", 0)]
    roots = [root for root in scene.get("nodes", []) if _below(nodes, root) & moved]
    nodes.append({"name": "head motion", "children": roots})
    scene["nodes"] = [root for root in scene["nodes"] if root not in roots] + [len(nodes) - 1]
    return len(nodes) - 1


def _below(nodes: list[dict[str, Any]], root: int) -> set[int]:
    found: set[int] = set()
    left = [root]
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += nodes[number].get("children", [])
    return found


def _pivot(glb: GlbFile, nodes: list[MorphedNode]) -> Float[np.ndarray, " 3"]:
    """Where the head turns, in the frame of the scene; the place of its nodes is counted in, their turn is not."""
    lows, highs = [], []
    for node in nodes:
        shift = np.array(glb.document["nodes"][node.node].get("translation", [0.0, 0.0, 0.0]))
        for primitive in glb.document["meshes"][node.mesh]["primitives"]:
            points = glb.document["accessors"][primitive["attributes"]["POSITION"]]
            lows.append(np.array(points["min"]) + shift)
            highs.append(np.array(points["max"]) + shift)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return np.array([0.5, _PIVOT_SHARE, 0.4]) * (high - low) + low


def _quaternions(rotation: Float[np.ndarray, "k 3 3"]) -> Float[np.ndarray, "k 4"]:
    """x, y, z, w, all on the side of no turn: the head's motion is slight."""
    found = Rotation.from_matrix(rotation).as_quat()
    return np.asarray(found * np.where(found[:, 3:] < 0.0, -1.0, 1.0))
