"""Speech added to GLB files: keys, what stays, where the head turns, and files that cannot speak."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from glb_reader import Glb
from scipy.spatial.transform import Rotation

from recon.export import ExportMesh, MeshError
from recon.export.face_animation import FaceAnimation, animated_glb
from recon.export.glb import encode_glb
from recon.export.glb_file import GlbFile, decode_glb, encode_chunks, read_glb
from recon.export.glb_mesh import mesh_of_glb

K = 6
NOTE = "made by a test"


def motion(**changes) -> FaceAnimation:
    rng = np.random.default_rng(5)
    given = {
        "time_s": np.arange(K) / 25.0,
        "weights": {"jawOpen": rng.uniform(size=K), "mouthClose": rng.uniform(size=K)},
        "rotation": Rotation.from_euler("xyz", rng.normal(scale=3.0, size=(K, 3)), degrees=True).as_matrix(),
    }
    return FaceAnimation(**{**given, **changes})


def test_keys_of_the_targets_that_the_head_has(mesh: ExportMesh) -> None:
    given = motion()
    before = decode_glb(encode_glb(mesh, weights={"cheekPuff": 0.25}))
    glb = Glb(animated_glb(before, given, NOTE))
    (found,) = glb.json["animations"]
    tracks = {c["target"]["path"]: (c["target"]["node"], found["samplers"][c["sampler"]]) for c in found["channels"]}
    node, sampler = tracks["weights"]
    assert found["name"] == "speech" and node == 0
    np.testing.assert_allclose(glb.accessor(sampler["input"]).ravel(), given.time_s, atol=1e-6)
    keys = glb.accessor(sampler["output"]).reshape(K, 3)
    np.testing.assert_allclose(keys[:, 0], given.weights["jawOpen"], atol=1e-6)
    assert not keys[:, 1].any() and (keys[:, 2] == 0.25).all()
    assert glb.json["asset"]["extras"]["provenance"] == NOTE and "units" in glb.json["asset"]["extras"]
    # What was there has not changed.
    assert glb.json["meshes"] == before.document["meshes"] and glb.bin.startswith(before.binary)


def test_the_head_turns_about_its_neck(mesh: ExportMesh) -> None:
    given = motion()
    before = decode_glb(encode_glb(mesh))
    glb = Glb(animated_glb(before, given, NOTE))
    (found,) = glb.json["animations"]
    tracks = {c["target"]["path"]: (c["target"]["node"], found["samplers"][c["sampler"]]) for c in found["channels"]}
    above = glb.json["nodes"][tracks["rotation"][0]]
    assert tracks["translation"][0] == tracks["rotation"][0] and above["children"] == [0]
    assert glb.json["scenes"][0]["nodes"] == [tracks["rotation"][0]]
    turned = Rotation.from_quat(glb.accessor(tracks["rotation"][1]["output"])).as_matrix()
    np.testing.assert_allclose(turned, given.rotation, atol=1e-6)
    shift_m = glb.accessor(tracks["translation"][1]["output"])
    # One point stays where it is: inside the head, in its lower half.
    fixed = np.linalg.lstsq((np.eye(3) - turned).reshape(-1, 3), shift_m.ravel(), rcond=None)[0]
    np.testing.assert_allclose(turned @ fixed + shift_m, np.broadcast_to(fixed, (K, 3)), atol=1e-6)
    points = glb.attribute("POSITION")
    assert points[:, 1].min() < fixed[1] < points[:, 1].mean()
    still = Glb(animated_glb(before, motion(rotation=np.broadcast_to(np.eye(3), (K, 3, 3)).copy()), NOTE))
    assert len(still.json["nodes"]) == 1 and len(still.json["animations"][0]["channels"]) == 1


def test_several_meshes_and_older_animations(mesh: ExportMesh) -> None:
    document = copy.deepcopy(decode_glb(encode_glb(mesh)).document)
    binary = decode_glb(encode_glb(mesh)).binary
    document["nodes"] = [
        {"children": [1, 2], "name": "root"},
        {"mesh": 0},
        {"mesh": 0, "translation": [0.0, 0.1, 0.0]},
        {"camera": 0},
    ]
    document["scenes"] = [{"nodes": [0, 3]}]
    document["animations"] = [{"name": "track", "channels": [], "samplers": []}]
    found = decode_glb(animated_glb(GlbFile(document, binary), motion(), NOTE)).document
    assert [one["name"] for one in found["animations"]] == ["speech", "track"]
    moved = [c["target"]["node"] for c in found["animations"][0]["channels"] if c["target"]["path"] == "weights"]
    assert moved == [1, 2]
    # The camera stays at rest.
    assert found["nodes"][4]["children"] == [0] and found["scenes"][0]["nodes"] == [3, 4]


def test_files_that_cannot_speak(mesh: ExportMesh, bare: ExportMesh, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="has no morph targets"):
        animated_glb(decode_glb(encode_glb(bare)), motion(), NOTE)
    with pytest.raises(MeshError, match="ARKit's names.*cheekPuff"):
        animated_glb(decode_glb(encode_glb(mesh)), motion(weights={"jaw_open": np.zeros(K)}), NOTE)
    whole = encode_glb(mesh)
    for name, data, said in (
        ("text.glb", b"hello", "no GLB file"),
        ("old.glb", whole[:4] + b"\1" + whole[5:], "version 1"),
        ("cut.glb", whole[:-40], "damaged"),
        ("empty.glb", b"", "no GLB file"),
        ("list.glb", encode_chunks({}, b"").replace(b"{}", b"[]"), "no object"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MeshError, match=said):
            read_glb(tmp_path / name)
    with pytest.raises(MeshError, match="no such GLB"):
        read_glb(tmp_path / "none.glb")
    unnamed = decode_glb(whole)
    unnamed.document["meshes"][0]["extras"]["targetNames"] = ["jawOpen"]
    with pytest.raises(MeshError, match="3 morph targets, 1 names"):
        animated_glb(unnamed, motion(), NOTE)


def test_motions_that_make_no_sense() -> None:
    for changes, said in (
        ({"time_s": np.zeros(K)}, "rise"),
        ({"weights": {"jawOpen": np.full(K, np.nan)}}, "jawOpen"),
        ({"rotation": np.full((K, 3, 3), np.inf)}, "rotation"),
    ):
        with pytest.raises(MeshError, match=said):
            motion(**changes)


def test_the_mesh_of_a_file_is_the_one_written(mesh: ExportMesh) -> None:
    glb = decode_glb(encode_glb(mesh))
    found = mesh_of_glb(glb, glb.morphed_nodes()[0])
    # Vertices come in another order; seams are joined again.
    assert len(found.vertices_mm) == len(mesh.vertices_mm) and len(found.faces) == len(mesh.faces)
    for key in ("vertices_mm", *mesh.morph_targets):
        wanted, got = (
            np.asarray(one.vertices_mm if key == "vertices_mm" else one.morph_targets[key])[one.faces]
            for one in (mesh, found)
        )
        np.testing.assert_allclose(got, wanted, atol=2e-3)
    np.testing.assert_array_equal(found.texture, mesh.texture)
    np.testing.assert_allclose(found.uv[found.uv_faces], np.asarray(mesh.uv)[mesh.uv_faces], atol=1e-6)


def test_damaged_numbers_are_told(mesh: ExportMesh) -> None:
    def broken(change) -> GlbFile:
        glb = decode_glb(encode_glb(mesh))
        document = json.loads(json.dumps(glb.document))
        change(document)
        return GlbFile(document, glb.binary)

    for change in (
        lambda d: d["accessors"][0].update(count=10**9),
        lambda d: d["bufferViews"][0].update(byteLength=10**9),
        lambda d: d["accessors"][0].update(componentType=1),
        lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop("POSITION"),
        lambda d: d["meshes"][0]["primitives"][0].update(mode=1),
        lambda d: d["bufferViews"][0].update(extensions={"EXT_meshopt_compression": {}}),
    ):
        glb = broken(change)
        with pytest.raises(MeshError):
            mesh_of_glb(glb, glb.morphed_nodes()[0])
