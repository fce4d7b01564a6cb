"""What a sampler knows of a model: soft maps of regions, segments of triangles, ambient visibility."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.render import rasterize, vertex_normals
from recon.synthesis.sample import SEGMENT_NAMES

_SEGMENT_REGIONS = (
    # Later rows overrule earlier ones.
    ("neck", ("skin", "neck")),
    ("scalp", ("scalp",)),
    ("ears", ("ears",)),
    ("face", ("face",)),
    ("nose", ("nose",)),
    ("brows", ("brows",)),
    ("eyelids", ("eyelids",)),
    ("lips", ("lips",)),
    ("mouth", ("mouth_interior",)),
    ("eyes", ("eye_sockets", "eyes")),
)
_SOFT_REGIONS = ("scalp", "brows", "beard", "cheeks", "lips", "eyelids")
"""Regions that soft maps are made of."""
_N_DIRECTIONS = 96
_AO_MAP_PX = 160
_AO_BIAS_MM = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Anatomy:
    """What is known of each vertex and triangle of one model.

    Attributes:
        triangle_segments: ``(F,)`` int64, id in SEGMENT_NAMES of each triangle.
        soft: ``(V,)`` maps in [0, 1] by region name, with soft edges.
        beard: ``(V,)`` the beard's map, fading out over more than a centimetre.
        ambient_visibility: ``(V,)`` [0, 1], share of uniform light that reaches a vertex of the mean face.
        ambient_visibility_jaw_open: ``(V,)`` the same with the mouth open.
    """

    triangle_segments: Int[Tensor, " f"]
    soft: dict[str, Float[Tensor, " v"]]
    beard: Float[Tensor, " v"]
    ambient_visibility: Float[Tensor, " v"]
    ambient_visibility_jaw_open: Float[Tensor, " v"]

    @classmethod
    def of(cls, model: MorphableModel, with_ambient_occlusion: bool) -> Anatomy:
        """Of a model; ambient occlusion takes a second on a CPU."""
        segments = _triangle_segments(model)
        soft = {
            name: _softened(model.region(name).float(), model.faces)
            for name in _SOFT_REGIONS
            if name in model.region_names
        }
        beard = torch.zeros_like(model.mean_shape[:, 0])
        if "beard" in model.region_names:
            lips = soft.get("lips", beard)
            beard = _softened(model.region("beard").float(), model.faces, 14) * (1.0 - lips)
        ones = torch.ones_like(model.mean_shape[:, 0])
        if not with_ambient_occlusion:
            return cls(segments, soft, beard, ones, ones)
        closed = ambient_visibility(model.mean_shape, model.faces)
        if "jawOpen" not in model.expression_names:
            return cls(segments, soft, beard, closed, closed)
        weights = model.mean_shape.new_zeros(1, model.n_expression)
        weights[0, model.expression_names.index("jawOpen")] = 0.7
        return cls(segments, soft, beard, closed, ambient_visibility(model.shape(None, weights)[0], model.faces))

    def map(self, name: str) -> Float[Tensor, " v"]:
        """A soft map, zero where the model has no such region."""
        return self.soft.get(name, torch.zeros_like(self.ambient_visibility))


def _triangle_segments(model: MorphableModel) -> Int[Tensor, " f"]:
    """A triangle belongs to a segment when two of its corners lie in the region; what is in no region counts as face."""
    segments = torch.full((model.faces.shape[0],), SEGMENT_NAMES.index("face"), device=model.faces.device)
    for segment, regions in _SEGMENT_REGIONS:
        for region in regions:
            if region in model.region_names:
                inside = model.region(region)[model.faces].sum(dim=1) >= 2
                segments = torch.where(inside, SEGMENT_NAMES.index(segment), segments)
    return segments


def _softened(mask: Float[Tensor, " v"], faces: Int[Tensor, "f 3"], rounds: int = 3) -> Float[Tensor, " v"]:
    """Averages over neighbours, a few times."""
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = torch.zeros_like(mask).index_add(0, ends[:, 0], torch.ones_like(ends[:, 0], dtype=mask.dtype))
    for _ in range(rounds):
        near = torch.zeros_like(mask).index_add(0, ends[:, 0], mask[ends[:, 1]])
        mask = 0.4 * mask + 0.6 * near / count.clamp_min(1.0)
    return mask


def ambient_visibility(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, " v"]:
    """Share of uniform light that reaches each vertex: ambient occlusion (Langer and Zucker 1994).

    Rasterises the mesh from many directions, as distant lights see it, and counts, weighted with the cosine, from how
    many each vertex is seen.
    """
    normals = vertex_normals(vertices[None], faces)[0]
    centre = 0.5 * (vertices.amin(dim=0) + vertices.amax(dim=0))
    radius = 1.02 * torch.linalg.vector_norm(vertices - centre, dim=1).max()
    steps = torch.arange(_N_DIRECTIONS, dtype=vertices.dtype, device=vertices.device) + 0.5
    up = 1.0 - 2.0 * steps / _N_DIRECTIONS
    turn = torch.pi * (1.0 + 5.0**0.5) * steps
    flat = (1.0 - up * up).sqrt()
    directions = torch.stack((flat * turn.cos(), up, flat * turn.sin()), dim=1)
    reached, possible = torch.zeros_like(normals[:, 0]), torch.zeros_like(normals[:, 0])
    for part in directions.split(16):
        frames = light_frames(part)
        seen_from = (vertices - centre) @ frames.transpose(1, 2) / radius
        clip = torch.cat((seen_from, torch.ones_like(seen_from[..., :1])), dim=-1) * seen_from.new_tensor(
            [1.0, 1.0, -1.0, 1.0]
        )
        depth = rasterize(clip, faces, (_AO_MAP_PX, _AO_MAP_PX)).depth_hard
        nearest = torch.nn.functional.grid_sample(
            depth.nan_to_num(posinf=2.0)[:, None],
            (clip[..., :2] * clip.new_tensor([1.0, -1.0]))[:, None],
            mode="nearest",
            align_corners=False,
        )[:, 0, 0]
        free = (clip[..., 2] <= nearest + _AO_BIAS_MM / radius).to(vertices.dtype)
        cosine = (normals @ part.T).clamp_min(0.0).T
        reached = reached + (free * cosine).sum(dim=0)
        possible = possible + cosine.sum(dim=0)
    return (reached / possible.clamp_min(1e-6)).clamp(0.0, 1.0)


def light_frames(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Rotations whose third row points along each unit direction: the view of a light that looks along -z."""
    helper = torch.where(
        directions[:, 1:2].abs() < 0.9,
        directions.new_tensor([[0.0, 1.0, 0.0]]),
        directions.new_tensor([[1.0, 0.0, 0.0]]),
    )
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, directions), dim=-1)
    up = torch.linalg.cross(directions, right)
    return torch.stack((right, up, directions), dim=1)
