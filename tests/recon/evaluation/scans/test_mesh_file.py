"""Meshes of unknown origin: every index and size is checked, and no other file is opened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from bfm.files import ModelFileError
from recon.evaluation.scans.mesh_file import read_mesh
from recon.evaluation.scans.scan import ScanError, _read_mesh

ROOT = Path(__file__).parents[4]


def ply(faces="3 0 1 2", vertices=("0 0 0", "1 0 0", "0 1 0"), count=3, comment="", number="float"):
    head = ["ply", "format ascii 1.0", comment, f"element vertex {count}", *(f"property {number} {x}" for x in "xyz")]
    head += ["element face 1", "property list uchar int vertex_indices", "end_header"]
    return "\n".join([line for line in head if line] + [*vertices, faces, ""])


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl"])
def test_numbers_are_those_that_trimesh_reads_from_the_file_itself(tmp_path, suffix):
    path = tmp_path / f"ball{suffix}"
    trimesh.creation.icosphere(subdivisions=2, radius=60.0).export(path)
    wanted = trimesh.load(str(path), force="mesh", process=False, skip_materials=True)
    vertices, faces = read_mesh(path)
    assert vertices.dtype == np.float64 and faces.dtype == np.int64
    np.testing.assert_array_equal(vertices, wanted.vertices)
    np.testing.assert_array_equal(faces, wanted.faces)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ply", ply("3 0 1 7"), r"has 3 vertices, but its triangles name 0\.\.7"),
        ("a.ply", ply("3 0 1 -1"), r"has 3 vertices, but its triangles name -1\.\.1"),
        ("a.ply", ply(vertices=("0 0 0", "1e200 0 0", "0 1 0"), number="double"), "a coordinate of 1e[+]200"),
        ("a.ply", ply(count=99_999_999_999), "cut off: states 99999999999 vertices and 1 faces"),
        ("a.ply", ply()[:-20], "cut off"),
        ("a.ply", ply(faces="3 0 1 2").replace("face 1", "face 2"), "cut off: states 3 vertices and 2 faces, holds 3"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "cannot be read"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9\n", "name|cannot be read"),
        ("a.obj", "v 0 0 0\n", "a mesh with both is needed|cannot be read"),
        ("a.stl", "x" * 84, "cannot be read|a mesh with both is needed"),
        ("a.glb", "glTF", "is no mesh that can be read; known: .obj, .ply, .stl"),
    ],
)
def test_damage_is_an_error_that_names_the_file(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ModelFileError, match=rf"{name}.*({message})"):
        read_mesh(path)
    with pytest.raises(ScanError, match=rf"{name}: cannot be read as a mesh: .*({message})"):
        _read_mesh(path)


def test_a_binary_stl_that_promises_four_thousand_million_triangles(tmp_path):
    (tmp_path / "a.stl").write_bytes(bytes(80) + b"\xff\xff\xff\xff" + bytes(50))
    with pytest.raises(ModelFileError, match=r"a\.stl"):
        read_mesh(tmp_path / "a.stl")


def test_files_over_the_limit_and_pipes_are_not_opened(tmp_path):
    with open(tmp_path / "a.ply", "wb") as file:
        file.truncate((1 << 30) + 1)
    os.mkfifo(tmp_path / "b.ply")
    with pytest.raises(ScanError, match=r"a\.ply: .*at most 1073741824 are expected"):
        _read_mesh(tmp_path / "a.ply")
    with pytest.raises(ScanError, match=r"b\.ply: .*no regular file"):
        _read_mesh(tmp_path / "b.ply")
    with pytest.raises(ScanError, match=r"none\.ply"):
        _read_mesh(tmp_path / "none.ply")


_WATCH = """
import json, sys
from pathlib import Path
import trimesh
from recon.evaluation.scans.mesh_file import parse_mesh
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
for path in sys.argv[1:]:
    parse_mesh(Path(path))
print(json.dumps(opened))
"""


def test_materials_and_textures_that_a_mesh_names_are_not_opened(tmp_path):
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd secret.png\n")
    (tmp_path / "secret.png").write_bytes(b"no picture")
    (tmp_path / "a.obj").write_text("mtllib secret.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "a.ply").write_text(ply(comment="comment TextureFile secret.png"))
    paths = [str(tmp_path / name) for name in ("a.obj", "a.ply")]
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, *paths],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    opened = json.loads(done.stdout)
    assert [path for path in opened if str(tmp_path) in path] == paths
