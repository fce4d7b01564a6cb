"""OBJ, PLY and STL, read back by trimesh and by eye of the format."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.export import ExportMesh, MeshError, write_obj, write_ply, write_stl
from recon.export.mesh import face_normals, split_at_seams, vertex_normals

ELLIPSOID_SHARE = 0.55, 1.0  # a coarse mesh inside its ellipsoid
FULL_VOLUME_MM3 = 4 / 3 * np.pi * 70 * 100 * 90


def _assert_outward(volume_mm3: float) -> None:
    low, high = ELLIPSOID_SHARE
    assert low * FULL_VOLUME_MM3 < volume_mm3 < high * FULL_VOLUME_MM3


def _look_up(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """The texel under each coordinate, origin at the lower left."""
    height, width = image.shape[:2]
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return image[rows, columns]


def test_the_stand_in_is_closed_and_winds_outward(mesh: ExportMesh) -> None:
    solid = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    assert solid.is_watertight
    _assert_outward(solid.volume)


@pytest.mark.parametrize("name", ["head.obj", "my head.obj", "Zoë Ж 顔.obj"])
def test_obj_comes_back_with_texture_and_winding(mesh: ExportMesh, tmp_path: Path, name: str) -> None:
    written = write_obj(tmp_path / name, mesh)
    assert [path.suffix for path in written] == [".obj", ".mtl", ".png"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    read = trimesh.load(written[0], process=False, force="mesh")
    _assert_outward(trimesh.Trimesh(read.vertices, read.faces, process=True).volume)
    assert read.extents == pytest.approx(np.ptp(mesh.vertices_mm, axis=0), abs=1e-4)
    image = np.asarray(read.visual.material.image.convert("RGB"))
    np.testing.assert_array_equal(image, mesh.texture)
    # The texel at a known vertex: columns 1/4 round the head, ring 2.
    vertex = (2 - 1) * 8 + 2
    place = np.flatnonzero(np.linalg.norm(read.vertices - mesh.vertices_mm[vertex], axis=1) < 1e-3)
    assert len(place) >= 1
    found = _look_up(image, np.asarray(read.visual.uv)[place])
    wanted = _look_up(mesh.texture, np.array([[2 / 8, 2 / 5]]))
    assert (found == wanted).all()


def test_obj_says_its_unit_and_refers_to_its_files(mesh: ExportMesh, tmp_path: Path) -> None:
    write_obj(tmp_path / "a b.obj", mesh)
    lines = (tmp_path / "a b.obj").read_text(encoding="utf-8").splitlines()
    assert "millimetres" in lines[0]
    assert "mtllib a b.mtl" in lines and "o Zoë's head" in lines
    assert "map_Kd a b.png" in (tmp_path / "a b.mtl").read_text(encoding="utf-8").splitlines()


def test_obj_without_texture_carries_vertex_colours(bare: ExportMesh, tmp_path: Path) -> None:
    assert write_obj(tmp_path / "head.obj", bare) == [tmp_path / "head.obj"]
    read = trimesh.load(tmp_path / "head.obj", process=False, force="mesh")
    np.testing.assert_allclose(read.vertices, bare.vertices_mm, atol=1e-5)
    np.testing.assert_array_equal(read.faces, bare.faces)
    np.testing.assert_allclose(read.visual.vertex_colors[:, :3] / 255, bare.colors, atol=0.01)


def test_ply_comes_back(mesh: ExportMesh, tmp_path: Path) -> None:
    write_ply(tmp_path / "Zoë head.ply", mesh)
    assert b"units are millimetres" in (tmp_path / "Zoë head.ply").read_bytes()[:200]
    read = trimesh.load(tmp_path / "Zoë head.ply", process=False)
    np.testing.assert_allclose(read.vertices, mesh.vertices_mm, atol=1e-4)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    np.testing.assert_allclose(read.vertex_normals, vertex_normals(mesh), atol=1e-5)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], np.round(255 * mesh.colors))
    _assert_outward(read.volume)


def test_stl_comes_back(mesh: ExportMesh, tmp_path: Path) -> None:
    path = write_stl(tmp_path / "head.stl", mesh)
    data = path.read_bytes()
    assert not data.startswith(b"solid") and b"units mm" in data[:80]
    assert len(data) == 84 + 50 * len(mesh.faces)
    read = trimesh.load(path)
    _assert_outward(read.volume)
    np.testing.assert_allclose(read.triangles, mesh.vertices_mm[mesh.faces], atol=1e-4)
    np.testing.assert_allclose(np.frombuffer(data[84:96], "<f4"), face_normals(mesh)[0], atol=1e-6)


def test_vertices_split_only_at_seams(mesh: ExportMesh) -> None:
    split = split_at_seams(mesh)
    # The seam runs through the four rings; the poles have one coordinate each.
    assert len(split.vertex) == len(mesh.vertices_mm) + 4
    np.testing.assert_array_equal(split.vertex[split.faces], mesh.faces)
    np.testing.assert_array_equal(split.uv[split.faces], mesh.uv_faces)


def test_normals_point_outward(mesh: ExportMesh) -> None:
    outward = mesh.vertices_mm - mesh.vertices_mm.mean(axis=0)
    normals = vertex_normals(mesh)
    assert ((normals * outward).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(faces=np.array([[0, 1, 99]])), r"faces must hold indices in \[0, 34\), found 0..99"),
        (dict(vertices_mm=np.full((34, 3), np.nan)), "vertices_mm holds nan"),
        (dict(uv=None), "give both or none"),
        (dict(uv=None, uv_faces=None), "texture needs uv"),
        (dict(texture=np.zeros((4, 4), np.uint8)), r"texture must be uint8 \(H, W, 3\), got uint8 \(4, 4\)"),
        (dict(colors=np.full((34, 3), 200.0)), r"colors must lie in \[0, 1\]"),
        (dict(morph_targets={"jawOpen": np.zeros((5, 3))}), "'jawOpen' must be floating point"),
        (dict(name="a\nb"), "one line"),
        (dict(faces=np.zeros((0, 3), int)), "needs vertices and faces"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(mesh: ExportMesh, change: dict, message: str) -> None:
    with pytest.raises(MeshError, match=message):
        dataclasses.replace(mesh, **change)


@pytest.mark.parametrize("write", [write_obj, write_ply, write_stl])
def test_writers_leave_the_mesh_alone(mesh: ExportMesh, tmp_path: Path, write) -> None:
    before = mesh.vertices_mm.copy(), mesh.faces.copy(), mesh.colors.copy()
    write(tmp_path / "head", mesh)
    first = (tmp_path / "head").read_bytes()
    write(tmp_path / "head", mesh, overwrite=True)
    assert (tmp_path / "head").read_bytes() == first
    for array, kept in zip((mesh.vertices_mm, mesh.faces, mesh.colors), before, strict=True):
        np.testing.assert_array_equal(array, kept)
