"""A contact sheet of a face model: what it is and what it can do, at a glance."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix
from recon.visualize.label import with_label

_TILE_PX = 224
_LABEL_PX = 18
_N_COMPONENTS = 4
_N_RANDOM = 8
_LAMPS = ((-0.35, 0.55, 1.0), (0.9, 0.1, 0.25))
_LAMP_STRENGTHS = (1.75, 0.45)
_AMBIENT = 0.42


def studio_lighting() -> Float[Tensor, "1 9 3"]:
    """A key light from the upper left, a weak rim light from the right, and grey surroundings."""
    strengths = torch.tensor(_LAMP_STRENGTHS)[None, :, None].expand(1, -1, 3)
    return ambient(torch.full((1, 3), _AMBIENT)) + lamps_to_sh(torch.tensor([_LAMPS]), strengths)


def portrait(
    vertices: Float[Tensor, "b v 3"],
    albedo: Float[Tensor, "_b v 3"],
    topology: Topology,
    framing: tuple[Float[Tensor, " 3"], float],
    angles_deg: tuple[float, float] = (0.0, 0.0),
    size_px: int = _TILE_PX,
) -> Float[Tensor, "b 3 h w"]:
    """Portraits under studio light on a light grey ground, not yet encoded for display.

    Args:
        vertices: ``(B, V, 3)`` mm.
        albedo: ``(B or 1, V, 3)``.
        topology: of the faces.
        framing: the point to look at ``(3,)`` in mm, and the height in mm that fills the picture.
        angles_deg: yaw and pitch of the head.
        size_px: side of the square picture.
    """
    mesh = Mesh.of(vertices - framing[0], topology, albedo)
    camera = portrait_camera(framing[1], angles_deg, size_px)
    return render(mesh, camera, studio_lighting(), (size_px, size_px), torch.full((1, 3, 1, 1), 0.75)).image


def portrait_camera(height_mm: float, angles_deg: tuple[float, float], size_px: int) -> PerspectiveCamera:
    """A camera that looks at the origin from far away and shows ``height_mm``; the head is turned by yaw and pitch."""
    distance_mm = 5.0 * height_mm
    yaw, pitch = angles_deg
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[pitch, yaw, 0.0]])))
    return PerspectiveCamera.at(
        rotation,
        torch.tensor([[0.0, 0.0, -distance_mm]]),
        size=(size_px, size_px),
        focal_px=torch.full((1, 2), size_px * distance_mm / height_mm),
    )


def model_sheet(model: MorphableModel, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """Labelled pictures in eight columns.

    The mean from four sides and four expressions; the first components of identity and albedo at -3, -2, +2 and +3
    sigma; random heads, each from four sides.
    """
    topology = Topology.of(model.faces, model.n_vertices)
    low, high = model.mean_shape.min(dim=0).values, model.mean_shape.max(dim=0).values
    framing = (0.5 * (low + high), 1.12 * float((high - low)[:2].max()))
    generator = torch.Generator().manual_seed(seed)

    def tile(label: str, vertices: Tensor, albedo: Tensor, yaw: float = 0.0) -> np.ndarray:
        with torch.no_grad():
            image = portrait(vertices, albedo, topology, framing, (yaw, 0.0))
        encoded = encode_srgb(image, model.albedo_space)[0].permute(1, 2, 0).numpy()
        return with_label((255.0 * encoded).round().astype(np.uint8), label, _LABEL_PX)

    def component(block: str, index: int) -> list[np.ndarray]:
        if index >= getattr(model, f"n_{block}"):
            return []
        row = []
        for amount in (-3.0, -2.0, 2.0, 3.0):
            weights = torch.zeros(1, getattr(model, f"n_{block}"))
            weights[0, index] = amount
            shape = model.shape(weights) if block == "identity" else mean
            colour = model.albedo(weights) if block == "albedo" else albedo
            row.append(tile(f"{block} {index + 1}: {amount:+.0f}", shape, colour, 20.0))
        return row

    def random_head(number: int) -> list[np.ndarray]:
        shape = model.shape(torch.randn(1, model.n_identity, generator=generator))
        colour = model.albedo(torch.randn(1, model.n_albedo, generator=generator))
        return [tile(f"random {number}, yaw {yaw:.0f}", shape, colour, yaw) for yaw in (0.0, 35.0, -60.0, 90.0)]

    mean, albedo = model.shape(), model.albedo()
    quarters = [tile(f"mean, yaw {yaw:.0f}", mean, albedo, yaw) for yaw in (0.0, 45.0, 90.0, -45.0)]
    acting = [tile(name, model.shape(expression=weights), albedo) for name, weights in _expressions(model)]
    rows = [quarters + _padded(acting)]
    for index in range(_N_COMPONENTS):
        row = _padded(component("identity", index)) + _padded(component("albedo", index))
        if len(row):
            rows.append(row)
    rows += [random_head(number) + random_head(number + 1) for number in range(1, _N_RANDOM, 2)]
    blank = np.full_like(quarters[0], 255)
    return np.concatenate([np.concatenate((row + [blank] * 8)[:8], axis=1) for row in rows])


def _padded(tiles: list[np.ndarray]) -> list[np.ndarray]:
    """Four tiles, the missing ones white; none if there are none."""
    return tiles + [np.full_like(tiles[0], 255)] * (4 - len(tiles)) if tiles else []


def _expressions(model: MorphableModel) -> list[tuple[str, Tensor]]:
    wanted = ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")
    names = [name for name in wanted if name in model.expression_names] or list(model.expression_names[:4])
    indices = [model.expression_names.index(name) for name in names] or list(range(min(4, model.n_expression)))
    labels = names or [f"expression {index + 1}" for index in indices]
    size = 1.0 if model.expression_prior == "unit" else 2.0
    return [
        (label, size * torch.nn.functional.one_hot(torch.tensor([index]), model.n_expression).float())
        for label, index in zip(labels, indices, strict=True)
    ]
