"""The motion of a head for a GLB file: keys of its place, turn and morph weights, and the camera that saw them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.export.mesh import MeshError

_MM_PER_M = 1000.0


@dataclasses.dataclass(frozen=True, eq=False)
class HeadAnimation:
    """A head that moves before a camera at rest. K keys; viewers go straight from one to the next.

    The camera frame is glTF's: x to the right, y up, the camera looks along -z.

    Attributes:
        time_s: ``(K,)`` rising, from 0.
        rotation: ``(K, 3, 3)`` object to camera.
        translation_mm: ``(K, 3)``.
        weights: ``(K, M)`` of the mesh's morph targets, in their order.
        field_of_view_y_rad: of the camera.
        aspect: width of the picture over its height.
        name: of the animation.
    """

    time_s: Float[np.ndarray, " k"]
    rotation: Float[np.ndarray, "k 3 3"]
    translation_mm: Float[np.ndarray, "k 3"]
    weights: Float[np.ndarray, "k m"]
    field_of_view_y_rad: float
    aspect: float
    name: str = "track"

    def __post_init__(self) -> None:
        n = len(self.time_s)
        shapes = {"rotation": (n, 3, 3), "translation_mm": (n, 3), "weights": (n, self.weights.shape[-1])}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise MeshError(
                    f"{name} of an animation of {n} keys must be {shape} finite numbers, got {values.shape}"
                )
        if n == 0 or self.time_s[0] < 0.0 or not (np.diff(self.time_s) > 0.0).all():
            raise MeshError(f"an animation needs keys whose times rise from 0 on, got {n}")
        if not (0.0 < self.field_of_view_y_rad < math.pi and self.aspect > 0.0):
            raise MeshError(f"no camera has a field of view of {self.field_of_view_y_rad} rad, aspect {self.aspect}")

    @property
    def quaternions(self) -> Float[np.ndarray, "k 4"]:
        """``(K, 4)`` x, y, z, w; neighbours on one side, so that viewers turn the short way."""
        found = Rotation.from_matrix(self.rotation).as_quat()
        flips = np.cumprod(np.where((found[1:] * found[:-1]).sum(axis=1) < 0.0, -1.0, 1.0))
        return found * np.concatenate([[1.0], flips])[:, None]


@runtime_checkable
class AccessorMaker(Protocol):
    """Puts numbers into the binary chunk."""

    def array(self, values: np.ndarray, component: int, target: int | None, *, bounds: bool = False) -> int:
        """The number of a new accessor."""
        ...


def add_animation(document: dict[str, Any], buffer: AccessorMaker, animation: HeadAnimation, float_type: int) -> None:
    """Let the first node of a glTF document move, and add its camera.

    Args:
        document: nodes, meshes and scenes are added to.
        buffer: takes the keys.
        animation: of the head.
        float_type: glTF's number of the component type float.

    Raises:
        MeshError: the mesh has other morph targets.
    """
    head, mesh = document["nodes"][0], document["meshes"][0]
    n_targets = len(mesh.get("weights", ()))
    if animation.weights.shape[1] != n_targets:
        raise MeshError(f"the animation moves {animation.weights.shape[1]} morph targets, the mesh has {n_targets}")
    times = buffer.array(animation.time_s, float_type, None, bounds=True)
    tracks = {"translation": animation.translation_mm / _MM_PER_M, "rotation": animation.quaternions}
    if n_targets:
        tracks["weights"] = animation.weights.ravel()
        mesh["weights"] = np.float32(animation.weights[0]).tolist()
    head["translation"] = np.float32(tracks["translation"][0]).tolist()
    head["rotation"] = np.float32(tracks["rotation"][0]).tolist()
    samplers = [
        {"input": times, "output": buffer.array(values, float_type, None), "interpolation": "LINEAR"}
        for values in tracks.values()
    ]
    channels = [{"sampler": number, "target": {"node": 0, "path": path}} for number, path in enumerate(tracks)]
    document["animations"] = [{"name": animation.name, "samplers": samplers, "channels": channels}]
    lens = {"yfov": animation.field_of_view_y_rad, "aspectRatio": animation.aspect, "znear": 0.01}
    document["cameras"] = [{"type": "perspective", "name": "video", "perspective": lens}]
    document["nodes"].append({"name": "video camera", "camera": 0})
    document["scenes"][0]["nodes"].append(1)
