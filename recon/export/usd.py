"""USDZ: one file with the head, its texture, its expressions as blend shapes and, if it moves, its motion and the camera.

Blend shapes of USD live in UsdSkel: the head hangs on a skeleton of one joint that stays at rest, and an animation of the skeleton holds the
weights. Houdini, Maya, Unreal, Omniverse and Blender read them so.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.color import srgb_to_linear
from recon.export.animation import HeadAnimation
from recon.export.glb import initial_weights
from recon.export.mesh import GENERATOR, ExportMesh, MeshError, vertex_normals
from recon.io.files import write_file
from recon.io.png import encode_png

_MM_PER_M = 1000.0
_NEGLIGIBLE_M = 1e-6
"""Offsets of blend shapes below a micrometre are written as none."""
_CODES_A_SECOND = 60.0
"""Time codes of the stage; keys lie between them where the video's frames do."""
_TEXTURE = "texture.png"
_ALIGNMENT, _LOCAL_HEADER, _EXTRA_HEAD = 64, 30, 4
_PADDING_ID = b"\x86\x19"
"""Of an extra field of ZIP that holds nothing, as USD's packer calls it."""
_APERTURE_MM = 24.0
"""Height of the camera's picture: any will do, its focal length follows."""
_ROUGHNESS = 0.55


def require_usd() -> None:
    """Find out whether files can be written before work begins.

    Raises:
        ModuleNotFoundError: without usd-core (the extra ``usd``).
    """
    import pxr  # noqa: F401


def has_usd() -> bool:
    """Whether files can be written here."""
    return importlib.util.find_spec("pxr") is not None


def write_usdz(
    path: str | os.PathLike[str],
    mesh: ExportMesh,
    *,
    weights: Mapping[str, float] | None = None,
    animation: HeadAnimation | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one USDZ file: metres, +y up, the face looks along +z; see :func:`recon.export.glb.write_glb` for the arguments.

    Raises:
        MeshError: ``weights`` names a target the mesh has not, or holds nan or inf; an animation of other targets.
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
        ModuleNotFoundError: without usd-core (the extra ``usd``).
    """
    return write_file(path, encode_usdz(mesh, weights, animation), overwrite=overwrite)


def encode_usdz(
    mesh: ExportMesh, weights: Mapping[str, float] | None = None, animation: HeadAnimation | None = None
) -> bytes:
    """The bytes of :func:`write_usdz`'s file."""
    from pxr import Usd

    at_rest = initial_weights(mesh, weights)
    if animation is not None and animation.weights.shape[1] != len(mesh.morph_targets):
        raise MeshError(
            f"the animation moves {animation.weights.shape[1]} morph targets, the mesh has {len(mesh.morph_targets)}"
        )
    with tempfile.TemporaryDirectory(prefix="recon-usd-") as folder:
        layer = Path(folder) / "head.usdc"
        stage = Usd.Stage.CreateNew(str(layer))
        _describe(stage, mesh, at_rest, animation)
        stage.GetRootLayer().Save()
        files = {layer.name: layer.read_bytes()}
    if mesh.texture is not None:
        files[_TEXTURE] = encode_png(mesh.texture)
    return _packed(files)


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A USDZ file: a ZIP archive without compression whose files begin at multiples of 64 bytes, the layer first. USD's own packer writes the
    time of day into it; here the same head gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            header = buffer.tell() + _LOCAL_HEADER + len(name)
            padding = -(header + _EXTRA_HEAD) % _ALIGNMENT
            entry.extra = _PADDING_ID + padding.to_bytes(2, "little") + b"\0" * padding
            archive.writestr(entry, data)
    return buffer.getvalue()


def _describe(stage: Any, mesh: ExportMesh, at_rest: list[float], animation: HeadAnimation | None) -> None:
    from pxr import Gf, UsdGeom, UsdSkel

    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(_CODES_A_SECOND)
    stage.SetFramesPerSecond(_CODES_A_SECOND)
    stage.GetRootLayer().comment = f"{GENERATOR}: metres, y up, the face looks along z"
    world = UsdGeom.Xform.Define(stage, "/head")
    stage.SetDefaultPrim(world.GetPrim())
    root = UsdSkel.Root.Define(stage, "/head/moving")
    skeleton = UsdSkel.Skeleton.Define(stage, "/head/moving/skeleton")
    skeleton.CreateJointsAttr(["head"])
    identity = [Gf.Matrix4d(1.0)]
    skeleton.CreateBindTransformsAttr(identity)
    skeleton.CreateRestTransformsAttr(identity)
    body = _mesh(stage, mesh)
    if mesh.texture is not None:
        _texture(stage, body)
    binding = UsdSkel.BindingAPI.Apply(body.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    n = len(mesh.vertices_mm)
    binding.CreateJointIndicesPrimvar(False, 1).Set([0] * n)
    binding.CreateJointWeightsPrimvar(False, 1).Set([1.0] * n)
    tokens = _blend_shapes(stage, binding, mesh)
    motion = UsdSkel.Animation.Define(stage, "/head/moving/expression")
    motion.CreateJointsAttr(["head"])
    motion.CreateTranslationsAttr([Gf.Vec3f(0.0)])
    motion.CreateRotationsAttr([Gf.Quatf(1.0)])
    motion.CreateScalesAttr([Gf.Vec3h(1.0, 1.0, 1.0)])
    motion.CreateBlendShapesAttr(tokens)
    attribute = motion.CreateBlendShapeWeightsAttr(at_rest)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([motion.GetPath()])
    extent = [Gf.Vec3f(*corner.tolist()) for corner in _box(mesh)]
    body.CreateExtentAttr(extent)
    root.CreateExtentAttr(extent)
    skeleton.CreateExtentAttr(extent)
    if animation is not None:
        _move(stage, root, attribute, animation)


def _mesh(stage: Any, mesh: ExportMesh) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    body = UsdGeom.Mesh.Define(stage, "/head/moving/mesh")
    body.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.float32(mesh.vertices_mm / _MM_PER_M)))
    body.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, dtype=np.int32)))
    body.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.int32(mesh.faces).ravel()))
    body.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.float32(vertex_normals(mesh))))
    body.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    body.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    body.CreateDoubleSidedAttr(True)
    primvars = UsdGeom.PrimvarsAPI(body)
    if mesh.uv is not None and mesh.uv_faces is not None:
        kind = Sdf.ValueTypeNames.TexCoord2fArray
        at = primvars.CreatePrimvar("st", kind, UsdGeom.Tokens.faceVarying)
        at.Set(Vt.Vec2fArray.FromNumpy(np.float32(mesh.uv)))
        at.SetIndices(Vt.IntArray.FromNumpy(np.int32(mesh.uv_faces).ravel()))
    if mesh.texture is None and mesh.colors is not None:
        linear = srgb_to_linear(torch.from_numpy(np.float64(mesh.colors))).float().numpy()
        colours = primvars.CreatePrimvar("displayColor", Sdf.ValueTypeNames.Color3fArray, UsdGeom.Tokens.vertex)
        colours.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(linear)))
    return body


def _texture(stage: Any, body: Any) -> None:
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, "/head/skin")
    surface = UsdShade.Shader.Define(stage, "/head/skin/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(_ROUGHNESS)
    where = UsdShade.Shader.Define(stage, "/head/skin/coordinates")
    where.CreateIdAttr("UsdPrimvarReader_float2")
    where.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    picture = UsdShade.Shader.Define(stage, "/head/skin/texture")
    picture.CreateIdAttr("UsdUVTexture")
    picture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(_TEXTURE)
    picture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    for side in ("wrapS", "wrapT"):
        picture.CreateInput(side, Sdf.ValueTypeNames.Token).Set("clamp")
    found = where.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    picture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(found)
    colour = picture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    UsdShade.MaterialBindingAPI.Apply(body.GetPrim()).Bind(material)


def _blend_shapes(stage: Any, binding: Any, mesh: ExportMesh) -> list[str]:
    """Define the mesh's morph targets; their tokens, in the mesh's order."""
    from pxr import UsdSkel, Vt

    tokens, targets = [], []
    for name, offsets_mm in mesh.morph_targets.items():
        offsets_m = (offsets_mm / _MM_PER_M).astype(np.float32)
        moved = np.flatnonzero(np.abs(offsets_m).max(axis=1) >= _NEGLIGIBLE_M)
        token = _identifier(name)
        if token in tokens:
            raise MeshError(f"two morph targets would be called {token!r} in USD; rename {name!r}")
        shape = UsdSkel.BlendShape.Define(stage, binding.GetPrim().GetPath().AppendChild(token))
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(offsets_m[moved])))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(np.int32(moved)))
        tokens.append(token)
        targets.append(shape.GetPath())
    binding.CreateBlendShapesAttr(tokens)
    binding.CreateBlendShapeTargetsRel().SetTargets(targets)
    return tokens


def _identifier(name: str) -> str:
    """A name as USD allows it: letters, digits and underscores."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{found}" if not found or found[0].isdigit() else found


def _box(mesh: ExportMesh) -> np.ndarray:
    """Low and high corner in metres, with all that single morph targets move."""
    points_m = mesh.vertices_mm / _MM_PER_M
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    for offsets_mm in mesh.morph_targets.values():
        moved = points_m + offsets_mm / _MM_PER_M
        low, high = np.minimum(low, moved.min(axis=0)), np.maximum(high, moved.max(axis=0))
    return np.stack([low, high])


def _move(stage: Any, root: Any, weights: Any, animation: HeadAnimation) -> None:
    """Keys of the head's place, turn and weights, and the camera that saw them."""
    from pxr import Gf, UsdGeom, Vt

    shift = root.AddTranslateOp(UsdGeom.XformOp.PrecisionDouble)
    turn = root.AddOrientOp(UsdGeom.XformOp.PrecisionFloat)
    codes = animation.time_s * _CODES_A_SECOND
    stage.SetStartTimeCode(float(codes[0]))
    stage.SetEndTimeCode(float(codes[-1]))
    for k, code in enumerate(codes.tolist()):
        shift.Set(Gf.Vec3d(*(animation.translation_mm[k] / _MM_PER_M).tolist()), code)
        x, y, z, w = animation.quaternions[k].tolist()
        turn.Set(Gf.Quatf(w, x, y, z), code)
        weights.Set(Vt.FloatArray.FromNumpy(np.float32(animation.weights[k])), code)
    camera = UsdGeom.Camera.Define(stage, "/head/video_camera")
    camera.CreateVerticalApertureAttr(_APERTURE_MM)
    camera.CreateHorizontalApertureAttr(_APERTURE_MM * animation.aspect)
    camera.CreateFocalLengthAttr(0.5 * _APERTURE_MM / float(np.tan(0.5 * animation.field_of_view_y_rad)))
    camera.CreateClippingRangeAttr(Gf.Vec2f(0.01, 100.0))
