"""USDZ files, read by USD itself: what it skins, and what its checker says."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

pytest.importorskip("pxr", reason="usd-core (the extra usd) is not installed")

from pxr import Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation

from recon.export import ExportMesh, MeshError, OutputExistsError
from recon.export.animation import HeadAnimation
from recon.export.usd import write_usdz


@pytest.fixture
def animation(mesh: ExportMesh) -> HeadAnimation:
    """Three keys, at times that are no whole frames."""
    weights = np.zeros((3, len(mesh.morph_targets)))
    weights[:, 0] = [0.0, 0.7, 0.2]
    return HeadAnimation(
        np.array([0.0, 0.033, 0.1]),
        Rotation.from_euler("yx", [[0.0, 0.0], [20.0, 5.0], [-30.0, 8.0]], degrees=True).as_matrix(),
        np.array([[0.0, 0.0, -600.0], [10.0, 5.0, -620.0], [-4.0, 2.0, -590.0]]),
        weights,
        0.5,
        1.5,
    )


def skinned_m(path: Path, code: float) -> np.ndarray:
    """Vertices in the world as USD's own skinning moves them."""
    stage = Usd.Stage.Open(str(path))
    root = UsdSkel.Root.Get(stage, "/head/moving")
    edited = Usd.Stage.Open(stage.Flatten())
    assert UsdSkel.BakeSkinning(UsdSkel.Root.Get(edited, root.GetPath()))
    body = UsdGeom.Mesh.Get(edited, "/head/moving/mesh")
    points = np.array(body.GetPointsAttr().Get(code), dtype=np.float64)
    to_world = np.array(UsdGeom.XformCache(code).GetLocalToWorldTransform(body.GetPrim()))  # rows
    return points @ to_world[:3, :3] + to_world[3, :3]


def test_the_head_moves_as_it_should(mesh: ExportMesh, animation: HeadAnimation, tmp_path: Path) -> None:
    path = write_usdz(tmp_path / "head.usdz", mesh, animation=animation)
    for k, time_s in enumerate(animation.time_s):
        shape_mm = mesh.vertices_mm.astype(np.float64)
        for weight, offsets_mm in zip(animation.weights[k], mesh.morph_targets.values(), strict=True):
            shape_mm = shape_mm + weight * offsets_mm
        expected = (shape_mm @ animation.rotation[k].T + animation.translation_mm[k]) / 1000.0
        np.testing.assert_allclose(skinned_m(path, 60.0 * float(time_s)), expected, atol=2e-6)
    stage = Usd.Stage.Open(str(path))
    assert stage.GetEndTimeCode() / stage.GetTimeCodesPerSecond() == pytest.approx(0.1)
    camera = UsdGeom.Camera.Get(stage, "/head/video_camera")
    apertures = [
        attribute.Get() for attribute in (camera.GetVerticalApertureAttr(), camera.GetHorizontalApertureAttr())
    ]
    assert 2.0 * np.arctan(0.5 * apertures[0] / camera.GetFocalLengthAttr().Get()) == pytest.approx(0.5)
    assert apertures[1] == pytest.approx(1.5 * apertures[0])


def test_a_head_at_rest_has_its_weights(mesh: ExportMesh, tmp_path: Path) -> None:
    name = list(mesh.morph_targets)[1]
    path = write_usdz(tmp_path / "head.usdz", mesh, weights={name: 0.5})
    expected = (mesh.vertices_mm + 0.5 * mesh.morph_targets[name]) / 1000.0
    np.testing.assert_allclose(skinned_m(path, 0.0), expected, atol=2e-6)
    with pytest.raises(MeshError, match="the mesh has not: grin"):
        write_usdz(tmp_path / "other.usdz", mesh, weights={"grin": 1.0})
    with pytest.raises(MeshError, match="nan or inf"):
        write_usdz(tmp_path / "other.usdz", mesh, weights={name: float("nan")})
    with pytest.raises(OutputExistsError):
        write_usdz(path, mesh)


def test_the_checker_of_usd_has_nothing_to_say(mesh: ExportMesh, animation: HeadAnimation, tmp_path: Path) -> None:
    registry = UsdValidation.ValidationRegistry()
    context = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators())
    for number, moving in enumerate((None, animation)):
        stage = Usd.Stage.Open(str(write_usdz(tmp_path / f"{number}.usdz", mesh, animation=moving)))
        assert [str(error.GetErrorAsString()) for error in context.Validate(stage)] == []


def test_the_same_head_gives_the_same_bytes_where_usd_wants_them(mesh: ExportMesh, tmp_path: Path) -> None:
    first, second = (write_usdz(tmp_path / name, mesh).read_bytes() for name in ("a.usdz", "b.usdz"))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert [entry.filename for entry in archive.infolist()] == ["head.usdc", "texture.png"]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            start = entry.header_offset + 30 + len(entry.filename) + len(entry.extra)
            assert start % 64 == 0
            assert first[start : start + entry.file_size] == archive.read(entry)


def test_texture_and_colours(mesh: ExportMesh, tmp_path: Path) -> None:
    path = write_usdz(tmp_path / "head.usdz", mesh)
    with zipfile.ZipFile(path) as archive:
        (picture,) = (name for name in archive.namelist() if name.endswith(".png"))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(archive.read(picture)))), mesh.texture)
    stage = Usd.Stage.Open(str(path))
    body = UsdGeom.Mesh.Get(stage, "/head/moving/mesh")
    at = UsdGeom.PrimvarsAPI(body).GetPrimvar("st")
    np.testing.assert_allclose(at.ComputeFlattened(), mesh.uv[mesh.uv_faces.ravel()], atol=1e-6)
    material, _ = UsdShade.MaterialBindingAPI(body.GetPrim()).ComputeBoundMaterial()
    assert material.GetPath() == "/head/skin"
    bare = dataclasses.replace(mesh, texture=None, colors=np.full(mesh.vertices_mm.shape, 0.5))
    stage = Usd.Stage.Open(str(write_usdz(tmp_path / "bare.usdz", bare)))
    shown = UsdGeom.Mesh.Get(stage, "/head/moving/mesh").GetDisplayColorPrimvar().Get()
    np.testing.assert_allclose(np.array(shown), 0.2140, atol=1e-3)


def test_names_that_usd_does_not_allow_are_changed_and_never_joined(mesh: ExportMesh, tmp_path: Path) -> None:
    offsets = next(iter(mesh.morph_targets.values()))
    odd = dataclasses.replace(mesh, morph_targets={"brow up": offsets, "2nd": offsets})
    stage = Usd.Stage.Open(str(write_usdz(tmp_path / "head.usdz", odd)))
    assert list(UsdSkel.BindingAPI(stage.GetPrimAtPath("/head/moving/mesh")).GetBlendShapesAttr().Get()) == [
        "brow_up",
        "_2nd",
    ]
    with pytest.raises(MeshError, match="two morph targets would be called"):
        write_usdz(tmp_path / "x.usdz", dataclasses.replace(mesh, morph_targets={"a b": offsets, "a_b": offsets}))
