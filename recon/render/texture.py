"""Albedo from a picture that UV coordinates lay on the mesh."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.checks import RenderInputError, check_face_range, check_finite
from recon.render.sampling import sample_uv

if TYPE_CHECKING:
    from recon.render.rasterize import Raster


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """A texture and where each face lies in it.

    Attributes:
        image: ``(B or 1, 3, h, w)``, rows from the top.
        uv: ``(U, 2)``, origin at the lower left of the picture, u right, v up; [0, 1] spans the picture edge to edge,
            and outside it the border texel is repeated.
        uv_faces: ``(F, 3)`` rows of ``uv`` for the corners of each face.
    """

    image: Float[Tensor, "_b 3 th tw"]
    uv: Float[Tensor, "u 2"]
    uv_faces: Int[Tensor, "f 3"]

    def check(self, n_pictures: int, n_faces: int) -> None:
        """Refuse a texture that does not fit the mesh.

        Raises:
            RenderInputError: wrong shapes, another number of faces, uv indices out of range, nan or inf.
        """
        shape = tuple(self.image.shape)
        if len(shape) != 4 or shape[0] not in (1, n_pictures) or shape[1] != 3 or 0 in shape:
            raise RenderInputError(f"texture image must be (1 or {n_pictures}, 3, h, w), got {shape}")
        if self.uv_faces.shape != (n_faces, 3):
            raise RenderInputError(f"uv_faces must be ({n_faces}, 3) like the faces, got {tuple(self.uv_faces.shape)}")
        if self.uv.ndim != 2 or self.uv.shape[1] != 2:
            raise RenderInputError(f"uv must be (U, 2), got {tuple(self.uv.shape)}")
        if self.uv_faces.device.type == "cpu":
            check_face_range(self.uv_faces, self.uv.shape[0])
        check_finite("uv", self.uv)
        check_finite("texture image", self.image)


def sample_packed(texture: Texture, raster: Raster) -> Float[Tensor, "p 3"]:
    """Texture colour at each covered pixel, bilinear, differentiable in the image, the uv and the geometry."""
    triangles = raster.triangle_ids.view(-1)[raster.pixel_index].long()
    weights = raster.barycentrics_packed
    corners = texture.uv_faces.long()[triangles]  # (P, 3) rows of uv
    uv = (texture.uv.to(weights.dtype)[corners] * weights[..., None]).sum(dim=1)
    image = texture.image.to(weights.dtype)
    parts = []
    for picture, (first, end) in enumerate(zip(raster.starts[:-1], raster.starts[1:], strict=True)):
        parts.append(sample_uv(image[picture if image.shape[0] > 1 else 0], uv[first:end]))
    return torch.cat(parts)
