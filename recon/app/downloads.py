"""Files of a head for people to take away: what ``recon reconstruct`` writes, and heads as the sliders show them."""

from __future__ import annotations

import dataclasses
import io
import tempfile
import zipfile
from pathlib import Path

from recon import export
from recon.app.edits import Edits
from recon.io.names import folder_name
from recon.io.png import encode_png
from recon.reconstruction import FORMATS, Reconstruction
from recon.visualize.overview import overview

MAP_NAMES = {
    "depth.png": "depth as 16-bit picture",
    "depth.npy": "depth in mm",
    "normals.png": "normals",
    "face.json": "all numbers",
    "overview.png": "overview",
}
"""Files beside the mesh, in words."""
EVERYTHING = "everything"


@dataclasses.dataclass(frozen=True)
class Download:
    """A file for the browser.

    Attributes:
        name: of the file.
        data: its bytes.
    """

    name: str
    data: bytes


def choices() -> tuple[str, ...]:
    """What :func:`download` makes: mesh formats, maps, and everything at once."""
    return (*mesh_formats(), *MAP_NAMES, EVERYTHING)


def mesh_formats() -> tuple[str, ...]:
    """Those that can be written here."""
    return tuple(kind for kind in FORMATS if kind != "usdz" or export.has_usd())


def download(head: Reconstruction, choice: str, stem: str, edits: Edits, texture_size: int = 1024) -> Download:
    """One file; formats of several files come as a zip archive.

    Args:
        head: as it was found.
        choice: one of :func:`choices`.
        stem: name of the photo without its ending, made harmless here.
        edits: of sliders; they go into the mesh formats. Maps and ``everything`` show the head as it was found.
        texture_size: side of the texture, px.

    Raises:
        ValueError: an unknown choice.
    """
    if choice not in choices():
        raise ValueError(f"unknown download {choice!r}; known: {', '.join(choices())}")
    safe = folder_name(stem)
    with tempfile.TemporaryDirectory(prefix="recon-app-") as name:
        folder = Path(name)
        if choice in FORMATS:
            files = _write_mesh(folder, head, choice, edits, texture_size)
        elif choice == "overview.png":
            files = [export.write_file(folder / choice, encode_png(overview(head)))]
        elif choice == EVERYTHING:
            files = [export.write_file(folder / "overview.png", encode_png(overview(head)))]
            files += head.save(folder, mesh_formats(), texture_size=texture_size)
        else:
            files = [_write_map(folder / choice, head)]
        if len(files) == 1:
            return Download(f"{safe}-{files[0].name}", files[0].read_bytes())
        return Download(f"{safe}-{choice}.zip", _zipped(files))


def _write_mesh(folder: Path, head: Reconstruction, kind: str, edits: Edits, texture_size: int) -> list[Path]:
    shown = edits.of(head) if edits else head
    # The texture fits the head as it was found; the shape is that of the sliders.
    mesh = head.mesh(texture_size if kind in ("glb", "obj", "usdz") else 0)
    neutral = dataclasses.replace(mesh, vertices_mm=shown.model.shape(shown.identity)[0].numpy())
    posed = dataclasses.replace(mesh, vertices_mm=shown.vertices)
    path = folder / f"head.{kind}"
    if kind in ("glb", "usdz"):
        write = export.write_glb if kind == "glb" else export.write_usdz
        if not mesh.morph_targets:
            return [write(path, posed)]
        weights = {name: value for name, value in shown.expression_weights.items() if name in mesh.morph_targets}
        return [write(path, neutral, weights=weights)]
    if kind == "obj":
        return export.write_obj(path, posed)
    return [{"ply": export.write_ply, "stl": export.write_stl}[kind](path, posed)]


def _write_map(path: Path, head: Reconstruction) -> Path:
    if path.name == "face.json":
        return export.write_face_json(path, head.to_dict())
    if path.name == "normals.png":
        return export.write_normals_png(path, head.normal_map())
    write = export.write_depth_png if path.suffix == ".png" else export.write_depth_npy
    return write(path, head.depth_map())


def _zipped(files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue()
