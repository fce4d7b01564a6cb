"""Neck, shoulders and clothes below the model's neck, which would otherwise end in the air."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.rotation import euler_to_matrix, matrix_to_euler
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.attributes import ClothAttributes
from recon.synthesis.geometry.parts import Head, Part, collapse_absent, grid_faces
from recon.synthesis.sample import SEGMENT_NAMES

# Rings of the torso below the neck: half width, half depth, height, mm below the neck's edge, share of the body's turn.
_RINGS = np.array(
    [
        (68.0, 62.0, 12.0, 0.15),
        (70.0, 66.0, 26.0, 0.35),
        (84.0, 74.0, 40.0, 0.55),
        (112.0, 84.0, 52.0, 0.75),
        (148.0, 94.0, 66.0, 0.9),
        (180.0, 104.0, 86.0, 1.0),
        (202.0, 112.0, 118.0, 1.0),
        (212.0, 120.0, 170.0, 1.0),
        (214.0, 124.0, 300.0, 1.0),
    ]
)
_SETBACK_MM = 12.0


@dataclasses.dataclass(frozen=True, eq=False)
class Neck:
    """The open edge of the model's neck.

    Attributes:
        loop: ``(L,)`` int64 vertices in order of azimuth.
        azimuth: ``(L,)`` radians around the neck, 0 at the front, positive to the viewer's right.
        faces: of the grid of rings below.
    """

    loop: Int[Tensor, " l"]
    azimuth: Float[Tensor, " l"]
    faces: Int[Tensor, "f 3"]

    @classmethod
    def of(cls, model: MorphableModel) -> Neck:
        """Find the edge: vertices on edges with one face, at the bottom of the mesh.

        Raises:
            ValueError: the model's neck is closed.
        """
        faces = model.faces.cpu().numpy()
        ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        edges, count = np.unique(ends, axis=0, return_counts=True)
        rim = np.unique(edges[count == 1])
        vertices = model.mean_shape.cpu().numpy()
        bottom = vertices[:, 1].min()
        loop = rim[vertices[rim, 1] < bottom + 60.0]
        if len(loop) < 8:
            raise ValueError(f"model {model.name!r} has no open neck to put clothes on: set clothes to 0")
        centre = vertices[loop].mean(axis=0)
        around = np.arctan2(vertices[loop, 0] - centre[0], vertices[loop, 2] - centre[2])
        order = np.argsort(around)
        device = model.faces.device
        return cls(
            torch.as_tensor(loop[order], device=device),
            torch.as_tensor(around[order].astype(np.float32), device=device),
            grid_faces(len(_RINGS) + 1, len(loop), closed=True).to(device),
        )


def clothes_part(neck: Neck, rng: CounterRng, head: Head, has_part: Bool[Tensor, " b"]) -> Part:
    """Rings from the neck's edge to the chest, camera frame, on heads that have clothes. The body turns less than the head."""
    rotation, translation_mm = head.camera.rotation, head.camera.translation_mm
    edge = head.v_obj[:, neck.loop]
    centre = edge.mean(dim=1, keepdim=True)
    rings = edge.new_tensor(_RINGS)
    build = rng.uniform("shoulders", low=0.88, high=1.08)[:, None, None]
    across = torch.stack((torch.sin(neck.azimuth), torch.cos(neck.azimuth)), dim=-1)
    x = rings[:, 0, None] * across[:, 0] * build
    z = rings[:, 1, None] * across[:, 1] - _SETBACK_MM * rings[:, 3, None] - torch.zeros_like(x)
    # Shoulders slope: a ring lies lower at the sides than at the front.
    slope = 0.22 * (rings[:, 0, None] - 68.0).clamp_min(0.0) * across[:, 0].abs() ** 2
    y = -rings[:, 2, None] - slope + torch.zeros_like(x)
    below = centre[:, None] + torch.stack((x, y, z), dim=-1)
    # The first rings continue the neck as it ends on this head.
    leave = rings[:, 3, None, None]
    straight = edge[:, None] - torch.stack((torch.zeros_like(y), -y, torch.zeros_like(y)), dim=-1)
    below = straight + leave * (below - straight)
    grid = torch.cat((edge[:, None], below), dim=1)
    # Angles of the head that the body does not share.
    pitch, yaw, roll = matrix_to_euler(rotation).unbind(-1)
    follows = rng.uniform("body follows", 3, low=0.1, high=0.6)
    upright = euler_to_matrix(follows * torch.stack((pitch, yaw, roll), dim=1))
    share = torch.cat((rings.new_zeros(1), rings[:, 3]))
    turns = _between(rotation, upright, share)
    # Row by row about the neck.
    v_cam = torch.einsum("brij,brlj->brli", turns, grid - centre[:, None])
    v_cam = v_cam + (centre @ rotation.transpose(1, 2) + translation_mm[:, None])[:, None]
    mm_below = torch.cat((torch.zeros_like(rings[:1, 2]), rings[:, 2]))[None, :, None].expand(*v_cam.shape[:3])
    front = torch.cos(neck.azimuth).clamp_min(0.0)
    open_mm = rng.uniform("neckline", low=14.0, high=30.0)[:, None] + (
        (rng.uniform("open collar") ** 2 * 75.0)[:, None] * front ** (1.0 + 3.0 * rng.uniform("collar"))[:, None]
    )
    attributes = ClothAttributes(
        azimuth_rad=neck.azimuth.expand(*v_cam.shape[:3]).flatten(1),
        below_edge_mm=mm_below.flatten(1),
        neckline_mm=open_mm[:, None].expand(*v_cam.shape[:3]).flatten(1),
    )
    skin = head.albedo[:, neck.loop][:, None].expand(*v_cam.shape[:3], 3).flatten(1, 2)
    v_cam = collapse_absent(v_cam.flatten(1, 2), has_part)
    return Part(v_cam, neck.faces, skin, attributes, SEGMENT_NAMES.index("clothes"))


def cloth_colours(rng: CounterRng) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
    """Two linear colours a garment: of the cloth, and of its stripes (often the same)."""
    light = 0.02 + 0.75 * rng.uniform("cloth light") ** 1.8
    chroma = 0.25 * rng.uniform("cloth chroma") ** 1.5
    first = (light[:, None] * torch.exp(2.5 * chroma[:, None] * rng.normal("cloth hue", 3))).clamp(0.01, 0.85)
    other = (first * torch.exp(0.9 * rng.normal("stripe", 3).clamp(-1.5, 1.5))).clamp(0.01, 0.85)
    return first, torch.where(rng.chance("striped", 0.3)[:, None], other, first)


def _between(first: Float[Tensor, "b 3 3"], last: Float[Tensor, "b 3 3"], share: Float[Tensor, " r"]) -> Tensor:
    """Rotations ``(B, R, 3, 3)`` from the first to the last, by mixing and making orthonormal."""
    mixed = first[:, None] + share[:, None, None] * (last - first)[:, None]
    x = torch.nn.functional.normalize(mixed[..., 0], dim=-1)
    y = mixed[..., 1] - (mixed[..., 1] * x).sum(-1, keepdim=True) * x
    y = torch.nn.functional.normalize(y, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)
