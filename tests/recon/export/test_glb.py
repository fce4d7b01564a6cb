"""GLB files against the specification, and read by trimesh."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import trimesh
from glb_reader import Glb
from PIL import Image

from recon.export import ExportMesh, MeshError, write_glb
from recon.export.glb import encode_glb
from recon.export.mesh import split_at_seams


def test_geometry_is_in_metres_and_winds_outward(mesh: ExportMesh) -> None:
    glb = Glb(encode_glb(mesh))
    split = split_at_seams(mesh)
    np.testing.assert_allclose(glb.attribute("POSITION"), mesh.vertices_mm[split.vertex] / 1000, atol=1e-7)
    np.testing.assert_array_equal(glb.faces(), split.faces)
    a, b, c = (glb.attribute("POSITION")[glb.faces()[:, k]].astype(np.float64) for k in range(3))
    volume_m3 = (a * np.cross(b, c)).sum() / 6
    assert 0.55 < volume_m3 / (4 / 3 * np.pi * 0.07 * 0.10 * 0.09) < 1.0
    normals = glb.attribute("NORMAL")
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)
    assert ((normals * (glb.attribute("POSITION") - glb.attribute("POSITION").mean(axis=0))).sum(axis=1) > 0).all()


def test_document_says_what_the_specification_asks(mesh: ExportMesh) -> None:
    glb = Glb(encode_glb(mesh))
    assert glb.json["asset"]["version"] == "2.0"
    assert glb.json["asset"]["extras"]["units"] == "metres"
    assert glb.json["nodes"][0]["name"] == "Zoë's head"
    material = glb.json["materials"][0]
    assert material["doubleSided"] is False and material["pbrMetallicRoughness"]["metallicFactor"] == 0.0
    for index, accessor in enumerate(glb.json["accessors"]):
        glb.accessor(index)  # checks bounds and lengths
        assert accessor["count"] >= 1
    position = glb.json["accessors"][glb.primitive["attributes"]["POSITION"]]
    assert "min" in position and "max" in position
    targets = {view.get("target") for view in glb.json["bufferViews"]}
    assert targets == {None, 34962, 34963}
    assert glb.json["accessors"][glb.primitive["indices"]]["componentType"] == 5123


def test_texture_lies_the_right_way_up(mesh: ExportMesh) -> None:
    glb = Glb(encode_glb(mesh))
    image = glb.json["images"][0]
    assert image["mimeType"] == "image/png"
    texture = np.asarray(Image.open(io.BytesIO(glb.view(image["bufferView"]))))
    np.testing.assert_array_equal(texture, mesh.texture)
    split = split_at_seams(mesh)
    uv = glb.attribute("TEXCOORD_0")
    np.testing.assert_allclose(uv[:, 0], mesh.uv[split.uv, 0], atol=1e-7)
    np.testing.assert_allclose(uv[:, 1], 1 - mesh.uv[split.uv, 1], atol=1e-7)


def test_all_morph_targets_are_there_by_name(mesh: ExportMesh) -> None:
    glb = Glb(encode_glb(mesh))
    split = split_at_seams(mesh)
    gltf_mesh = glb.json["meshes"][0]
    assert gltf_mesh["extras"]["targetNames"] == ["jawOpen", "eyeBlinkLeft", "cheekPuff"]
    assert gltf_mesh["weights"] == [0.0, 0.0, 0.0]
    assert len(glb.primitive["targets"]) == 3
    for target, offsets_mm in zip(glb.primitive["targets"], mesh.morph_targets.values(), strict=True):
        np.testing.assert_allclose(glb.accessor(target["POSITION"]), offsets_mm[split.vertex] / 1000, atol=1.1e-6)
    sparse = ["sparse" in glb.json["accessors"][target["POSITION"]] for target in glb.primitive["targets"]]
    assert sparse == [False, True, True]


def test_initial_weights_by_name(mesh: ExportMesh) -> None:
    glb = Glb(encode_glb(mesh, weights={"cheekPuff": 0.25}))
    assert glb.json["meshes"][0]["weights"] == [0.0, 0.0, 0.25]
    with pytest.raises(MeshError, match="the mesh has not: smile; it has: jawOpen, eyeBlinkLeft, cheekPuff"):
        encode_glb(mesh, weights={"smile": 1.0})
    with pytest.raises(MeshError, match="nan"):
        encode_glb(mesh, weights={"jawOpen": float("nan")})


def test_colours_without_texture_are_linear_light(bare: ExportMesh) -> None:
    grey = dataclasses.replace(bare, colors=np.full_like(bare.colors, 0.5))
    np.testing.assert_allclose(Glb(encode_glb(grey)).attribute("COLOR_0"), 0.21404, atol=1e-5)
    assert "targets" not in Glb(encode_glb(bare)).primitive


def test_large_meshes_get_wide_indices() -> None:
    n = 70_000
    vertices = np.random.default_rng(0).normal(size=(n, 3))
    faces = np.arange(n - n % 3).reshape(-1, 3)
    offsets = np.zeros((n, 3))
    offsets[n - 1] = 1.0
    glb = Glb(encode_glb(ExportMesh(vertices, faces, morph_targets={"a": offsets})))
    assert glb.json["accessors"][glb.primitive["indices"]]["componentType"] == 5125
    assert glb.accessor(glb.primitive["targets"][0]["POSITION"])[n - 1] == pytest.approx(0.001)


def test_trimesh_reads_it(mesh: ExportMesh, tmp_path: Path) -> None:
    path = write_glb(tmp_path / "Zoë head.glb", mesh)
    scene = trimesh.load(path, process=False)
    (read,) = scene.geometry.values()
    split = split_at_seams(mesh)
    np.testing.assert_allclose(read.vertices, mesh.vertices_mm[split.vertex] / 1000, atol=1e-7)
    np.testing.assert_array_equal(read.faces, split.faces)
    np.testing.assert_allclose(read.visual.uv, mesh.uv[split.uv], atol=1e-6)  # trimesh turns v back
    np.testing.assert_array_equal(np.asarray(read.visual.material.baseColorTexture.convert("RGB")), mesh.texture)


def test_same_mesh_same_bytes(mesh: ExportMesh) -> None:
    before = {name: offsets.copy() for name, offsets in mesh.morph_targets.items()}
    assert encode_glb(mesh) == encode_glb(mesh)
    for name, offsets in mesh.morph_targets.items():
        np.testing.assert_array_equal(offsets, before[name])
