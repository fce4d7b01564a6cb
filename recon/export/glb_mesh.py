"""The mesh of a GLB file, for our own renderer."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from recon.color import linear_to_srgb
from recon.export.glb_file import GlbFile, MorphedNode
from recon.export.mesh import ExportMesh, MeshError

_MM_PER_M = 1000.0
_TRIANGLES = 4


def mesh_of_glb(glb: GlbFile, node: MorphedNode) -> ExportMesh:
    """The mesh of a node, in mm and in the node's own axes, with its morph targets and its base colour.

    Vertices that a texture's seam has split are joined again, so that the skin has no edge there.

    Args:
        glb: a file.
        node: of it; its mesh must be one primitive of triangles that are not compressed.

    Raises:
        MeshError: it is not, or the numbers in it do not fit together.
    """
    try:
        return _mesh(glb, node)
    except (KeyError, IndexError, TypeError, ValueError, UnidentifiedImageError) as error:
        raise MeshError(f"mesh {node.mesh} of the GLB file cannot be read: {error}") from error


def _mesh(glb: GlbFile, node: MorphedNode) -> ExportMesh:
    primitives = glb.document["meshes"][node.mesh]["primitives"]
    if len(primitives) != 1 or primitives[0].get("mode", _TRIANGLES) != _TRIANGLES or "indices" not in primitives[0]:
        raise MeshError(f"mesh {node.mesh} is not one set of indexed triangles, which alone are drawn here")
    primitive = primitives[0]
    attributes = primitive["attributes"]
    positions = np.asarray(glb.accessor(attributes["POSITION"]), dtype=np.float64)
    offsets = [np.asarray(glb.accessor(t["POSITION"]), dtype=np.float64) for t in primitive["targets"]]
    faces = glb.accessor(primitive["indices"]).astype(np.int64).reshape(-1, 3)
    moving = np.concatenate([positions, *offsets], axis=1).astype(np.float32)
    _, first, joined = np.unique(moving, axis=0, return_index=True, return_inverse=True)
    joined = joined.reshape(-1)
    uv, texture = None, _base_colour(glb, primitive)
    if texture is not None and "TEXCOORD_0" in attributes:
        uv = np.asarray(glb.accessor(attributes["TEXCOORD_0"]), dtype=np.float64) * [1.0, -1.0] + [0.0, 1.0]
    colors = None
    if "COLOR_0" in attributes:
        linear = np.asarray(glb.accessor(attributes["COLOR_0"]), dtype=np.float64)[first, :3]
        colors = linear_to_srgb(torch.from_numpy(linear).clamp(0.0, 1.0)).numpy()
    return ExportMesh(
        vertices_mm=positions[first] * _MM_PER_M,
        faces=joined[faces],
        uv=uv,
        uv_faces=faces if uv is not None else None,
        texture=texture if uv is not None else None,
        colors=colors,
        morph_targets={name: one[first] * _MM_PER_M for name, one in zip(node.names, offsets, strict=True)},
        name="head",
    )


def _base_colour(glb: GlbFile, primitive: dict) -> np.ndarray | None:
    """The texture of a primitive's material as RGB; None where it has none inside the file."""
    if "material" not in primitive:
        return None
    material = glb.document["materials"][primitive["material"]].get("pbrMetallicRoughness", {})
    if "baseColorTexture" not in material:
        return None
    source = glb.document["textures"][material["baseColorTexture"]["index"]].get("source")
    if source is None or "bufferView" not in glb.document["images"][source]:
        return None
    with Image.open(io.BytesIO(glb.view(glb.document["images"][source]["bufferView"]))) as picture:
        return np.asarray(picture.convert("RGB"))
