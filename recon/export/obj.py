"""Wavefront OBJ with its material and texture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from recon.export.mesh import GENERATOR, ExportMesh, vertex_normals
from recon.io.files import write_files
from recon.io.png import encode_png

_MATERIAL = "skin"


def write_obj(path: str | os.PathLike[str], mesh: ExportMesh, *, overwrite: bool = False) -> list[Path]:
    """Write ``path`` in mm and, if the mesh has a texture, ``.mtl`` and ``.png`` of the same name beside it.

    Vertex colours are written after the coordinates, as many readers understand, when there is no texture. OBJ cannot
    hold morph targets. Texts are UTF-8.

    Returns:
        the files written, the OBJ first.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    obj = Path(path)
    if mesh.texture is None:
        return write_files({obj: _obj_text(mesh, None).encode()}, overwrite=overwrite)
    mtl, png = obj.with_suffix(".mtl"), obj.with_suffix(".png")
    contents = {
        obj: _obj_text(mesh, mtl.name).encode(),
        mtl: _mtl_text(png.name).encode(),
        png: encode_png(mesh.texture, "texture, sRGB; first row is v = 1"),
    }
    return write_files(contents, overwrite=overwrite)


def _obj_text(mesh: ExportMesh, mtl_name: str | None) -> str:
    lines = [
        f"# {GENERATOR}: units are millimetres; x to the viewer's right, y up, the face looks along +z",
        "# faces wind counter-clockwise seen from outside; vt has its origin at the lower left",
    ]
    if mtl_name is not None:
        lines.append(f"mtllib {mtl_name}")
    lines.append(f"o {mesh.name}")
    vertices = np.asarray(mesh.vertices_mm, dtype=np.float64)
    if mesh.colors is not None and mesh.texture is None:
        rows = np.hstack([vertices, mesh.colors])
        lines += [f"v {x:.5f} {y:.5f} {z:.5f} {r:.4f} {g:.4f} {b:.4f}" for x, y, z, r, g, b in rows.tolist()]
    else:
        lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    if mesh.uv is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertex_normals(mesh).tolist()]
    if mtl_name is not None:
        lines.append(f"usemtl {_MATERIAL}")
    faces = (mesh.faces.astype(np.int64) + 1).tolist()
    if mesh.uv_faces is None:
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in faces]
    else:
        uv_faces = (mesh.uv_faces.astype(np.int64) + 1).tolist()
        lines += [
            f"f {a}/{s}/{a} {b}/{t}/{b} {c}/{u}/{c}" for (a, b, c), (s, t, u) in zip(faces, uv_faces, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _mtl_text(png_name: str) -> str:
    return "\n".join(
        [
            f"# {GENERATOR}",
            f"newmtl {_MATERIAL}",
            "Ka 0 0 0",
            "Kd 1 1 1",
            "Ks 0.04 0.04 0.04",
            "Ns 20",
            "illum 2",
            f"map_Kd {png_name}",
            "",
        ]
    )
