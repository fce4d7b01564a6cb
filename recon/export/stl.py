"""Binary STL, for printing."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from recon.export.mesh import GENERATOR, ExportMesh, face_normals
from recon.io.files import write_file


def write_stl(path: str | os.PathLike[str], mesh: ExportMesh, *, overwrite: bool = False) -> Path:
    """Write the triangles in mm with their normals; the 80-byte header says the unit.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    triangles = np.zeros(
        len(mesh.faces), dtype=[("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    triangles["normal"] = face_normals(mesh)
    triangles["corners"] = mesh.vertices_mm[mesh.faces]
    header = f"{GENERATOR}: binary STL, units mm, y up, face along +z".encode("ascii").ljust(80)
    return write_file(path, header + struct.pack("<I", len(triangles)) + triangles.tobytes(), overwrite=overwrite)
