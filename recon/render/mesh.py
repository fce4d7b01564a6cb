"""What is rendered: vertices, their connectivity and their albedo; and vertex normals."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.checks import RenderInputError, check_finite, check_vertices, lift
from recon.render.kernels import interpolate as kernels
from recon.render.texture import Texture
from recon.render.topology import Topology


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """A batch of meshes that share one topology. Build it with :meth:`of`, which checks.

    Attributes:
        v_obj: ``(B, V, 3)`` vertices in mm, object frame.
        topology: faces and their neighbours.
        albedo: ``(B, V, 3)`` per vertex, or a texture; in [0, 1] and in the space that the model shades in.
    """

    v_obj: Float[Tensor, "b v 3"]
    topology: Topology
    albedo: Float[Tensor, "b v 3"] | Texture

    @classmethod
    def of(
        cls,
        v_obj: Float[Tensor, "b v 3"],
        faces: Int[Tensor, "f 3"] | Topology,
        albedo: Float[Tensor, "_b v 3"] | Texture | None = None,
    ) -> Mesh:
        """A checked mesh. Pass a :class:`Topology` when rendering the same faces again: finding it takes 0.1 s.

        Args:
            v_obj: ``(B, V, 3)`` vertices in mm. Half precision is computed in float32.
            faces: ``(F, 3)`` faces, or their topology.
            albedo: per vertex ``(B, V, 3)`` or ``(1, V, 3)``, a texture, or ``None`` for mid-grey.

        Raises:
            RenderInputError: shapes that do not fit, an empty batch, nan or inf, faces out of range.
        """
        vertices = check_vertices("v_obj", v_obj, 3)
        topology = faces if isinstance(faces, Topology) else Topology.of(faces, vertices.shape[1])
        if topology.n_vertices != vertices.shape[1]:
            raise RenderInputError(
                f"the topology was made for {topology.n_vertices} vertices, v_obj has {vertices.shape[1]}"
            )
        if topology.faces.device != vertices.device:
            raise RenderInputError(f"faces are on {topology.faces.device} but v_obj is on {vertices.device}")
        if albedo is None:
            albedo = vertices.new_full((1, vertices.shape[1], 3), 0.5)
        if isinstance(albedo, Texture):
            albedo.check(n_pictures=vertices.shape[0], n_faces=topology.faces.shape[0])
            return cls(vertices, topology, albedo)
        batches = {1, vertices.shape[0]}
        if albedo.ndim != 3 or albedo.shape[0] not in batches or albedo.shape[1:] != vertices.shape[1:]:
            raise RenderInputError(
                f"albedo must be {tuple(vertices.shape)} or (1, {vertices.shape[1]}, 3), got {tuple(albedo.shape)}"
            )
        albedo = lift("albedo", albedo).to(vertices.dtype)
        check_finite("albedo", albedo)
        return cls(vertices, topology, albedo.expand(vertices.shape[0], -1, -1))


def vertex_normals(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b v 3"]:
    """Unit normals ``(B, V, 3)``, outward for counter-clockwise faces, weighted by face area.

    A vertex without a face, or whose faces have no area or cancel out, gets the zero vector and no gradient.
    """
    if vertices.device.type == "cpu":
        sums: Tensor = _FaceNormalSums.apply(vertices, faces.long().contiguous())
    else:
        sums = face_normal_sums_reference(vertices, faces)
    return unit(sums)


def vertex_normals_of_arrays(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """:func:`vertex_normals` ``(V, 3)`` of one mesh of numpy arrays, in float64."""
    return vertex_normals(torch.tensor(vertices, dtype=torch.float64)[None], torch.tensor(faces.astype(np.int64)))[
        0
    ].numpy()


def unit(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Vectors of length 1; the zero vector stays zero and has no gradient."""
    squared = (vectors * vectors).sum(dim=-1, keepdim=True)
    some = squared > torch.finfo(vectors.dtype).tiny
    return vectors * torch.where(some, torch.rsqrt(torch.where(some, squared, 1.0)), 0.0)


def face_normal_sums_reference(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b v 3"]:
    """At each vertex, the sum of its faces' normals, each of length twice the face's area. The plain twin."""
    a, b, c = (vertices[:, faces[:, k]] for k in range(3))
    normals = torch.linalg.cross(b - a, c - a)
    sums = torch.zeros_like(vertices)
    for k in range(3):
        sums = sums.index_add(1, faces[:, k].long(), normals)
    return sums


class _FaceNormalSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(vertices, faces)
        return kernels.face_normal_sums(vertices, faces)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[no-untyped-def]
        vertices, faces = ctx.saved_tensors
        return kernels.face_normal_sums_backward(g_out, vertices, faces), None
