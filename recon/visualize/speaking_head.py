"""Frames of a head whose face shapes and pose move: a preview of an animation by our renderer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.camera import PerspectiveCamera
from recon.color import encode_srgb, srgb_to_linear
from recon.export.mesh import ExportMesh
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Texture, Topology, render

_DISTANCE_MM = 900.0
_SHOWN = 1.12
"""Height of the picture over that of the head."""
_BACKDROP = 0.75
_AT_ONCE = 4
_GREY = 0.5


def head_frames(
    mesh: ExportMesh,
    weights: Float[np.ndarray, "t m"],
    rotation: Float[np.ndarray, "t 3 3"],
    size: tuple[int, int] = (512, 512),
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames, sRGB.

    Args:
        mesh: a neutral head.
        weights: ``(T, M)`` of its morph targets, in their order.
        rotation: ``(T, 3, 3)`` about the middle of its box.
        size: (H, W) in px.
    """
    rest_mm = torch.from_numpy(np.asarray(mesh.vertices_mm, dtype=np.float32))
    low, high = rest_mm.amin(dim=0), rest_mm.amax(dim=0)
    middle = 0.5 * (low + high)
    targets = np.stack([np.asarray(offsets, dtype=np.float32) for offsets in mesh.morph_targets.values()])
    offsets_mm = torch.from_numpy(targets).flatten(1)
    topology = Topology.of(torch.from_numpy(mesh.faces.astype(np.int64)), len(rest_mm))
    albedo = _albedo(mesh)
    focal_px = _DISTANCE_MM * size[0] / (_SHOWN * float(high[1] - low[1]))
    lighting = ambient(torch.tensor([[0.5, 0.5, 0.5]])) + lamps_to_sh(
        torch.tensor([[[-0.4, 0.5, 1.0]]]), torch.tensor([[[1.8, 1.8, 1.8]]])
    )
    backdrop = srgb_to_linear(torch.full((1, 3, 1, 1), _BACKDROP))
    for first in range(0, len(weights), _AT_ONCE):
        part = torch.from_numpy(np.asarray(weights[first : first + _AT_ONCE], dtype=np.float32))
        turn = torch.from_numpy(np.asarray(rotation[first : first + _AT_ONCE], dtype=np.float32))
        v_obj = rest_mm - middle + (part @ offsets_mm).view(len(part), -1, 3)
        camera = PerspectiveCamera.at(
            turn,
            torch.tensor([[0.0, 0.0, -_DISTANCE_MM]]).expand(len(part), -1),
            size=size,
            focal_px=torch.full((len(part), 2), focal_px),
        )
        with torch.no_grad():
            image = render(Mesh.of(v_obj, topology, albedo), camera, lighting, size, backdrop).image
        shown = encode_srgb(image, "linear").mul(255.0).round().to(torch.uint8)
        yield from (frame.permute(1, 2, 0).numpy() for frame in shown)


def shown_weights(
    names: tuple[str, ...], rest: tuple[float, ...], moving: Mapping[str, Float[np.ndarray, " t"]], count: int
) -> Float[np.ndarray, "t m"]:
    """Weights ``(T, M)`` of a head's morph targets: those that move, and the rest as they are.

    Args:
        names: ``(M,)`` of the targets.
        rest: ``(M,)`` their weights at rest.
        moving: ``(T,)`` by name; names that the head does not have are passed over.
        count: T.
    """
    columns = [np.asarray(moving.get(name, np.full(count, weight))) for name, weight in zip(names, rest, strict=True)]
    return np.stack(columns, axis=1)


def _albedo(mesh: ExportMesh) -> Float[torch.Tensor, "1 v 3"] | Texture:
    if mesh.texture is not None and mesh.uv is not None and mesh.uv_faces is not None:
        image = torch.from_numpy(mesh.texture.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
        faces = torch.from_numpy(mesh.uv_faces.astype(np.int64))
        return Texture(srgb_to_linear(image), torch.from_numpy(np.asarray(mesh.uv, dtype=np.float32)), faces)
    if mesh.colors is not None:
        return srgb_to_linear(torch.from_numpy(np.asarray(mesh.colors, dtype=np.float32)))[None]
    return torch.full((1, len(mesh.vertices_mm), 3), _GREY)
