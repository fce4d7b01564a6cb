"""Meshes, strands and cameras in Blender, from arrays. The world is the camera frame in metres: x right, y up, z back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

METRES = 1e-3
"""Metres a millimetre."""
SENSOR_MM = 36.0
_KINDS = {1: ("FLOAT", "value"), 3: ("FLOAT_VECTOR", "vector"), 4: ("FLOAT_COLOR", "color")}


def add_mesh(
    bpy: Any,
    name: str,
    v_cam: np.ndarray,
    faces: np.ndarray,
    materials: Sequence[Any],
    *,
    point: Mapping[str, np.ndarray],
    face: Mapping[str, np.ndarray],
    material_of: np.ndarray | None = None,
) -> None:
    """A smooth mesh in the scene.

    Args:
        bpy: Blender's module.
        name: of the object.
        v_cam: ``(V, 3)`` mm, camera frame.
        faces: ``(F, 3)``.
        materials: one, or those that ``material_of`` ``(F,)`` counts.
        point, face: values by name ``(V, k)`` or ``(F, k)``; k is 1, 3 or 4 (colours), for materials to read.
        material_of: ``(F,)`` index of the material.
    """
    mesh = bpy.data.meshes.new(name)
    count = len(faces)
    mesh.vertices.add(len(v_cam))
    mesh.vertices.foreach_set("co", _flat(v_cam * METRES))
    mesh.loops.add(3 * count)
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, dtype=np.int32).ravel())
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * count, 3, dtype=np.int32))
    for material in materials:
        mesh.materials.append(material)
    if material_of is not None:
        mesh.polygons.foreach_set("material_index", np.ascontiguousarray(material_of, dtype=np.int32))
    _attributes(mesh, "POINT", point)
    _attributes(mesh, "FACE", face)
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    _link(bpy, name, mesh)


def add_strands(
    bpy: Any,
    name: str,
    points_cam: np.ndarray,
    radius_mm: np.ndarray,
    material: Any,
    *,
    strand: Mapping[str, np.ndarray],
) -> None:
    """Thin curves in the scene.

    Args:
        bpy: Blender's module.
        name: of the object.
        points_cam: ``(S, P, 3)`` mm, camera frame.
        radius_mm: ``(S, P)``.
        material: of all.
        strand: values by name ``(S, k)``.
    """
    curves = bpy.data.hair_curves.new(name)
    count, length = points_cam.shape[:2]
    curves.add_curves([length] * count)
    curves.position_data.foreach_set("vector", _flat(points_cam * METRES))
    _attributes(curves, "POINT", {"radius": radius_mm.reshape(-1, 1) * METRES})
    _attributes(curves, "CURVE", strand)
    curves.materials.append(material)
    _link(bpy, name, curves)


def add_camera(bpy: Any, intrinsics: np.ndarray, size: tuple[int, int]) -> None:
    """The scene's camera: at the origin, along -z, with a sensor 36 mm wide.

    Args:
        bpy: Blender's module.
        intrinsics: ``(3, 3)`` px.
        size: (H, W) px.
    """
    height, width = size
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.sensor_width = "HORIZONTAL", SENSOR_MM
    focal_x, focal_y = float(intrinsics[0, 0]), float(intrinsics[1, 1])
    camera.lens = focal_x * SENSOR_MM / width
    camera.shift_x = 0.5 - float(intrinsics[0, 2]) / width
    camera.shift_y = (float(intrinsics[1, 2]) - 0.5 * height) / width * focal_x / focal_y
    camera.clip_start, camera.clip_end = 0.001, 100.0
    scene = bpy.context.scene
    scene.camera = _link(bpy, "camera", camera)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    # A pixel is this much taller than wide where the focal lengths differ.
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = max(1.0, focal_y / focal_x), max(1.0, focal_x / focal_y)


def _link(bpy: Any, name: str, data: Any) -> Any:
    item = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(item)
    return item


def _attributes(data: Any, domain: str, values: Mapping[str, np.ndarray]) -> None:
    for name, array in values.items():
        kind, slot = _KINDS[array.shape[1]]
        attribute = data.attributes.get(name) or data.attributes.new(name, kind, domain)
        attribute.data.foreach_set(slot, _flat(array))


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32).ravel()
