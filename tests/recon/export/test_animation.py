"""Animated GLB files: keys as given, and what players make of them between."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from glb_reader import Glb
from scipy.spatial.transform import Rotation

from recon.export import ExportMesh, MeshError
from recon.export.animation import HeadAnimation
from recon.export.glb import encode_glb


def animation(mesh: ExportMesh, n: int = 5) -> HeadAnimation:
    rng = np.random.default_rng(0)
    return HeadAnimation(
        time_s=np.cumsum(np.concatenate([[0.0], rng.uniform(0.02, 0.1, n - 1)])),
        rotation=Rotation.from_euler("y", np.linspace(-200.0, 200.0, n)[:, None], degrees=True).as_matrix(),
        translation_mm=rng.normal(size=(n, 3)) + [0.0, 0.0, -600.0],
        weights=rng.uniform(size=(n, len(mesh.morph_targets))),
        field_of_view_y_rad=0.7,
        aspect=1.5,
    )


def test_the_keys_are_in_the_file(mesh: ExportMesh) -> None:
    given = animation(mesh)
    glb = Glb(encode_glb(mesh, animation=given))
    (found,) = glb.json["animations"]
    tracks = {channel["target"]["path"]: found["samplers"][channel["sampler"]] for channel in found["channels"]}
    assert set(tracks) == {"translation", "rotation", "weights"}
    assert all(channel["target"]["node"] == 0 for channel in found["channels"])
    for sampler in tracks.values():
        np.testing.assert_allclose(glb.accessor(sampler["input"]).ravel(), given.time_s, atol=1e-6)
    bounds = glb.json["accessors"][tracks["weights"]["input"]]
    assert bounds["min"] == [0.0] and bounds["max"] == [pytest.approx(given.time_s[-1])]
    np.testing.assert_allclose(glb.accessor(tracks["translation"]["output"]), given.translation_mm / 1000.0, atol=1e-6)
    quaternions = glb.accessor(tracks["rotation"]["output"])
    np.testing.assert_allclose(Rotation.from_quat(quaternions).as_matrix(), given.rotation, atol=1e-6)
    assert ((quaternions[1:] * quaternions[:-1]).sum(axis=1) >= 0.0).all()  # the short way
    np.testing.assert_allclose(glb.accessor(tracks["weights"]["output"]).ravel(), given.weights.ravel(), atol=1e-6)
    node, camera = glb.json["nodes"]
    np.testing.assert_allclose(node["translation"], given.translation_mm[0] / 1000.0, atol=1e-6)
    np.testing.assert_allclose(glb.json["meshes"][0]["weights"], given.weights[0], atol=1e-6)
    lens = glb.json["cameras"][camera["camera"]]["perspective"]
    assert lens["yfov"] == 0.7 and lens["aspectRatio"] == 1.5 and 1 in glb.json["scenes"][0]["nodes"]
    assert not {"translation", "rotation", "matrix"} & set(camera)  # at rest at the origin
    views = glb.json["bufferViews"]
    for sampler in tracks.values():
        assert all(
            "target" not in views[glb.json["accessors"][sampler[end]]["bufferView"]] for end in ("input", "output")
        )


def test_a_mesh_without_targets_moves_too(mesh: ExportMesh) -> None:
    bare = dataclasses.replace(mesh, morph_targets={})
    glb = Glb(encode_glb(bare, animation=animation(bare)))
    assert {channel["target"]["path"] for channel in glb.json["animations"][0]["channels"]} == {
        "translation",
        "rotation",
    }
    with pytest.raises(MeshError, match="morph targets"):
        encode_glb(bare, animation=animation(mesh))


def test_what_is_no_motion(mesh: ExportMesh) -> None:
    given = animation(mesh)
    for changes, said in (
        ({"time_s": given.time_s[::-1]}, "rise"),
        ({"time_s": given.time_s - 1.0}, "rise"),
        ({"translation_mm": given.translation_mm * np.nan}, "translation_mm"),
        ({"weights": given.weights + np.inf}, "weights"),
        ({"field_of_view_y_rad": math.pi}, "field of view"),
    ):
        with pytest.raises(MeshError, match=said):
            dataclasses.replace(given, **changes)
