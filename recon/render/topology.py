"""Which triangles share which edges: computed once per mesh connectivity, then passed along."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from recon.render.checks import check_face_range, check_faces


@dataclasses.dataclass(frozen=True, eq=False)
class Topology:
    """Faces and their neighbours. Edge k of a face runs from its corner k to its corner k + 1 (mod 3).

    Attributes:
        faces: ``(F, 3)`` int64, counter-clockwise seen from outside.
        neighbours: ``(F, 3)`` int64, the face across each edge; -1 where the edge has no other face or more than one,
            and at every edge of a face that repeats a vertex.
        opposite: ``(F, 3)`` int64, the vertex of that neighbour which is not on the edge; -1 where there is none.
        n_vertices: vertices that the faces may refer to.
    """

    faces: Int[Tensor, "f 3"]
    neighbours: Int[Tensor, "f 3"]
    opposite: Int[Tensor, "f 3"]
    n_vertices: int

    @classmethod
    def of(cls, faces: Int[Tensor, "f 3"], n_vertices: int) -> Topology:
        """Find the neighbours of every face. Faces with the same three vertices count once.

        Raises:
            RenderInputError: faces of a wrong shape or type, or out of range.
        """
        check_faces(faces, n_vertices)
        check_face_range(faces, n_vertices)
        faces = faces.long().contiguous()
        neighbours, opposite = _across_edges(faces, n_vertices)
        return cls(faces=faces, neighbours=neighbours, opposite=opposite, n_vertices=n_vertices)

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on another device."""
        return dataclasses.replace(
            self,
            faces=self.faces.to(device),
            neighbours=self.neighbours.to(device),
            opposite=self.opposite.to(device),
        )


def _across_edges(faces: Tensor, n_vertices: int) -> tuple[Tensor, Tensor]:
    n_faces = faces.shape[0]
    nothing = torch.full_like(faces, -1)
    if n_faces == 0:
        return nothing, nothing.clone()
    original = _first_of_equal_faces(faces, n_vertices)
    repeats_vertex = (faces == faces.roll(-1, dims=1)).any(dim=1)
    counts = ~repeats_vertex & (original == torch.arange(n_faces, device=faces.device))

    start, end = faces, faces.roll(-1, dims=1)
    keys = torch.minimum(start, end) * n_vertices + torch.maximum(start, end)  # (F, 3)
    half_edges = torch.arange(3 * n_faces, device=faces.device).view(n_faces, 3)
    edges, edge_of, users = torch.unique(keys[counts], return_inverse=True, return_counts=True)
    if len(edges) == 0:
        return nothing, nothing.clone()
    low = torch.full_like(edges, 3 * n_faces).scatter_reduce(0, edge_of.flatten(), half_edges[counts].flatten(), "amin")
    high = torch.full_like(edges, -1).scatter_reduce(0, edge_of.flatten(), half_edges[counts].flatten(), "amax")

    slot = torch.searchsorted(edges, keys).clamp(max=len(edges) - 1)
    shared = (edges[slot] == keys) & (users[slot] == 2) & ~repeats_vertex[:, None]
    own_is_low = torch.div(low[slot], 3, rounding_mode="floor") == original[:, None]
    other = torch.where(own_is_low, high[slot], low[slot])
    third_corner = faces.roll(-2, dims=1).flatten()  # of half-edge k: corner k + 2
    neighbours = torch.where(shared, torch.div(other, 3, rounding_mode="floor"), -1)
    return neighbours, torch.where(shared, third_corner[other.clamp(min=0)], -1)


def _first_of_equal_faces(faces: Tensor, n_vertices: int) -> Tensor:
    """Index ``(F,)`` of the first face with the same three vertices, in any order."""
    corners = faces.sort(dim=1).values
    _, pair = torch.unique(corners[:, 0] * n_vertices + corners[:, 1], return_inverse=True)
    _, group = torch.unique(pair * n_vertices + corners[:, 2], return_inverse=True)
    index = torch.arange(faces.shape[0], device=faces.device)
    first = torch.full_like(index, faces.shape[0]).scatter_reduce(0, group, index, "amin")
    return first[group]
