"""The texels of a square texture: which surface point each shows, its mirror image, and the rim around the islands."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from bfm.model import MorphableModel
from recon.render import rasterize

_PAD_TEXELS = 8
_MIRROR_SLACK_MM = 4.0
"""How far the point at a texel's mirror lookup may lie from the mirror image of what the texel shows."""


@dataclasses.dataclass(frozen=True, eq=False)
class UvMap:
    """Which surface point each texel of a square texture shows.

    Attributes:
        triangle_ids: ``(T, T)`` -1 where no triangle lies.
        barycentrics: ``(T, T, 3)``.
    """

    triangle_ids: Int[Tensor, "t t"]
    barycentrics: Float[Tensor, "t t 3"]

    @classmethod
    def of(cls, model: MorphableModel, size: int) -> UvMap:
        """Rasterize the model's UV layout.

        Raises:
            ValueError: the model has no UV coordinates.
        """
        if not len(model.uv):
            raise ValueError(f"model {model.name!r} has no texture coordinates, so it cannot carry a texture")
        uv = model.uv.cpu()
        flat = torch.cat([2.0 * uv - 1.0, torch.zeros_like(uv[:, :1]), torch.ones_like(uv[:, :1])], dim=1)[None]
        raster = rasterize(flat, model.uv_faces.cpu(), (size, size))
        return cls(raster.triangle_ids[0].long(), raster.barycentrics[0])

    def sample(self, values: Float[Tensor, "v c"], triangles: Int[Tensor, "f 3"]) -> Float[Tensor, "t t c"]:
        """Per-vertex values at every texel, 0 where no triangle lies."""
        covered = self.triangle_ids >= 0
        texels = values.new_zeros(*self.triangle_ids.shape, values.shape[1])
        texels[covered] = self.sample_at(covered, values, triangles)
        return texels

    def sample_at(
        self, chosen: Bool[Tensor, "t t"], values: Float[Tensor, "v c"], triangles: Int[Tensor, "f 3"]
    ) -> Float[Tensor, "n c"]:
        """Per-vertex values at chosen texels, all of which show a triangle, row by row."""
        return torch.einsum("nk,nkc->nc", self.barycentrics[chosen], values[triangles[self.triangle_ids[chosen]]])

    def mirror_lookup(self, model: MorphableModel, chosen: Bool[Tensor, "t t"]) -> Float[np.ndarray, "t t 2"]:
        """Where in the texture the mirror image of each chosen texel's point is: column and row in texels, nan for none.

        Left and right are those of the mean head, which need not be quite symmetric.

        Args:
            model: the same as for :meth:`of`.
            chosen: texels that show a triangle.
        """
        triangles, size = model.faces.cpu(), self.triangle_ids.shape[0]
        places = model.mean_shape.cpu()
        _, other = cKDTree(places.numpy()).query(places.numpy() * [-1.0, 1.0, 1.0], workers=-1)
        # A vertex on a seam has several places in the texture; the check below finds where the wrong one was taken.
        uv_of_vertex = torch.zeros(len(places), 2)
        uv_of_vertex[triangles.reshape(-1)] = model.uv.cpu()[model.uv_faces.cpu().reshape(-1)]
        uv = self.sample_at(chosen, uv_of_vertex[torch.from_numpy(other)], triangles)
        found = torch.stack([uv[:, 0], 1.0 - uv[:, 1]], dim=1) * size - 0.5
        column, row = found.round().long().clamp(0, size - 1).T
        places_at = torch.full((size, size, 3), torch.nan)
        places_at[chosen] = self.sample_at(chosen, places, triangles)
        distance_mm = torch.linalg.norm(
            places_at[row, column] - places_at[chosen] * torch.tensor([-1.0, 1.0, 1.0]), dim=1
        )
        found[~(distance_mm < _MIRROR_SLACK_MM)] = torch.nan
        lookup = np.full((size, size, 2), np.nan, dtype=np.float32)
        lookup[chosen.numpy()] = found.numpy()
        return lookup


def padded(colours: Float[Tensor, "t t 3"], covered: Bool[Tensor, "t t"]) -> UInt8[np.ndarray, "t t 3"]:
    """Each island's rim spread a few texels outwards, so that filtering at seams finds skin; beyond it the mean colour."""
    image, known = colours.cpu().numpy(), covered.cpu().numpy()
    if not known.any():
        return np.zeros(image.shape, dtype=np.uint8)
    far, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_C, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels count the known texels, row by row.
    rim = ~known & (far < _PAD_TEXELS + 0.5)
    filled = np.full(image.shape, image[known].mean(axis=0), dtype=np.float32)
    filled[known] = image[known]
    filled[rim] = image[known][nearest[rim] - 1]
    return np.asarray((255.0 * filled.clip(0.0, 1.0)).round().astype(np.uint8))
