"""Binary PLY with colours."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.export.mesh import GENERATOR, ExportMesh, vertex_normals
from recon.io.files import write_file


def write_ply(path: str | os.PathLike[str], mesh: ExportMesh, *, overwrite: bool = False) -> Path:
    """Write positions in mm, normals, 8-bit sRGB colours if the mesh has them, and faces; binary little-endian.

    PLY holds no texture here and no morph targets.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    fields = [(axis, "<f4", "float") for axis in ("x", "y", "z", "nx", "ny", "nz")]
    columns = [np.asarray(mesh.vertices_mm), vertex_normals(mesh)]
    if mesh.colors is not None:
        fields += [(channel, "u1", "uchar") for channel in ("red", "green", "blue")]
        columns.append(np.round(np.asarray(mesh.colors, dtype=np.float64) * 255.0))
    vertices = np.zeros(len(mesh.vertices_mm), dtype=[(name, kind) for name, kind, _ in fields])
    for (name, _, _), values in zip(fields, np.hstack(columns).T, strict=True):
        vertices[name] = values
    faces = np.zeros(len(mesh.faces), dtype=[("n", "u1"), ("corners", "<i4", (3,))])
    faces["n"], faces["corners"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {GENERATOR}: units are millimetres; x to the viewer's right, y up, the face looks along +z",
        "comment colours are 8-bit sRGB; faces wind counter-clockwise seen from outside",
        f"element vertex {len(vertices)}",
        *(f"property {word} {name}" for name, _, word in fields),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    return write_file(
        path, "\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes(), overwrite=overwrite
    )


def write_point_ply(
    path: str | os.PathLike[str],
    points_mm: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    *,
    overwrite: bool = False,
) -> Path:
    """Write points in mm with 8-bit sRGB colours; binary little-endian. Coordinates are doubles: points far from the camera keep
    their place in the picture.

    Args:
        points_mm: camera frame of :mod:`recon.camera`.
        colors: sRGB code values in [0, 1].

    Raises:
        ValueError: no points.
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    if not len(points_mm):
        raise ValueError("a point cloud needs at least one point")
    kinds = [(axis, "<f8") for axis in "xyz"] + [(channel, "u1") for channel in ("red", "green", "blue")]
    vertices = np.zeros(len(points_mm), dtype=kinds)
    for name, values in zip("xyz", np.asarray(points_mm).T, strict=True):
        vertices[name] = values
    for name, values in zip(("red", "green", "blue"), np.asarray(colors).T, strict=True):
        vertices[name] = np.round(255.0 * values)
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {GENERATOR}: points in millimetres, camera frame: x to the viewer's right, y up, the camera looks along -z",
        f"element vertex {len(vertices)}",
        *(f"property double {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        "end_header",
        "",
    ]
    return write_file(path, "\n".join(header).encode("ascii") + vertices.tobytes(), overwrite=overwrite)
