"""What a photo shows of a head's surface, as a gap to what the model would show there.

The gap is the logarithm of the photo's colour over the model's paint times its smooth shading.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.color import from_display
from recon.lighting import shade
from recon.render import rasterize, vertex_normals
from recon.render.sampling import sample_pixels

_SLANT_LOW, _SLANT_HIGH = 0.25, 0.60
"""Cosine to the viewing ray below which a point is not taken from the photo, and above which it wholly is."""
_DEPTH_SLACK_MM = 1.5
_DEPTH_PX = 768
"""Longer side of the depth map that tells what is hidden: it needs no more detail than a texture has."""
_LEAST_SHADING = 0.08
_SMOOTH_ROUNDS = 10
LEAST_COLOUR = 0.01
"""Added to colours before their logarithm, below which they are noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class _DepthMap:
    """The nearest surface in a part of the photo.

    Attributes:
        depth_mm: ``(h, w)``, 0 where there is no surface.
        corner: ``(2,)`` of the part, px of the photo.
        scale: ``(2,)`` pixels of the map over pixels of the photo, x then y.
    """

    depth_mm: Float[Tensor, "h w"]
    corner: Float[Tensor, " 2"]
    scale: Float[Tensor, " 2"]

    @classmethod
    def of(
        cls, v_cam: Float[Tensor, "1 v 3"], faces: Int[Tensor, "f 3"], camera: PerspectiveCamera, photo_size: list[int]
    ) -> _DepthMap:
        """Of the part that the head takes up; 1 empty pixel if it lies beside the photo."""
        v_pix = camera.to_pixels(v_cam)[0]
        least = v_pix.min(dim=0).values.long().clamp_min(0)
        most = torch.minimum(v_pix.max(dim=0).values.long() + 2, torch.tensor(photo_size[::-1]))
        extent = most - least
        if bool((extent <= 0).any()):
            return cls(torch.zeros(1, 1), torch.zeros(2), torch.zeros(2))
        shrink = min(1.0, _DEPTH_PX / float(extent.max()))
        width, height = (shrink * extent).round().long().clamp_min(1).tolist()
        scale = torch.tensor([width, height]) / extent
        window = camera.cropped(*least.float().tolist()).resized(*scale.tolist())
        raster = rasterize(window.to_clip(v_cam, (height, width)), faces, (height, width))
        corners = -v_cam[0, :, 2][raster.corner_index]
        nearest = raster.unpack((raster.barycentrics_packed * corners).sum(dim=1, keepdim=True))[0, ..., 0]
        return cls(nearest, least.float(), scale)

    def shows(self, pixels: Float[Tensor, "n 2"], depth_mm: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether no surface lies before points at these pixels of the photo."""
        height, width = self.depth_mm.shape
        column, row = ((pixels - self.corner) * self.scale).nan_to_num(0.0).long().T
        nearest = self.depth_mm[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        return (nearest <= 0.0) | (depth_mm <= nearest + _DEPTH_SLACK_MM)


@dataclasses.dataclass(frozen=True, eq=False)
class SeenSurface:
    """A head in front of a camera, and the photo that the camera took.

    Attributes:
        model: of the head.
        v_cam: ``(1, V, 3)`` mm.
        paint: ``(V, 3)`` albedo in [0, 1].
        shading: ``(V, 3)`` the smooth light that falls there, above 0.
        facing: ``(V, 1)`` cosine between the normal and the ray to the camera.
        camera, photo: of the full photo.
        depth: what hides what.
    """

    model: MorphableModel
    v_cam: Float[Tensor, "1 v 3"]
    paint: Float[Tensor, "v 3"]
    shading: Float[Tensor, "v 3"]
    facing: Float[Tensor, "v 1"]
    camera: PerspectiveCamera
    photo: UInt8[np.ndarray, "h w 3"]
    depth: _DepthMap

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        v_cam: Float[Tensor, "1 v 3"],
        albedo: Float[Tensor, "v 3"],
        lighting: Float[Tensor, "1 9 3"],
        camera: PerspectiveCamera,
        photo: UInt8[np.ndarray, "h w 3"],
    ) -> SeenSurface:
        """Of a head in the camera frame, under a light in the same frame."""
        faces = model.faces.cpu()
        normals = vertex_normals(v_cam, faces)[0]
        soft = _smoothed(normals, faces)
        shading = shade(torch.ones_like(soft)[None], soft[None], lighting)[0].clamp_min(_LEAST_SHADING)
        ray = -torch.nn.functional.normalize(v_cam[0], dim=-1)
        facing = (normals * ray).sum(dim=-1, keepdim=True)
        depth = _DepthMap.of(v_cam, faces, camera, list(photo.shape[:2]))
        return cls(model, v_cam, albedo.clamp(0.0, 1.0), shading, facing, camera, photo, depth)

    @property
    def columns(self) -> Float[Tensor, "v 10"]:
        """Position, paint, shading and cosine of each vertex side by side, for interpolation."""
        return torch.cat([self.v_cam[0], self.paint, self.shading, self.facing], dim=1)

    def pixels(self, points: Float[Tensor, "n 10"]) -> Float[Tensor, "n 2"]:
        """Where in the photo rows of :attr:`columns`, or points between them, lie."""
        return self.camera.to_pixels(points[None, :, :3])[0]

    def gap_at(self, points: Float[Tensor, "n 10"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
        """The gap at points of the surface, and how far the photo shows them: 0 where hidden, aslant or outside.

        Args:
            points: rows of :attr:`columns`, or between them.
        """
        position, paint, shading, facing = points.split([3, 3, 3, 1], dim=1)
        pixels = self.pixels(points)
        shown = from_display(_sample_photo(self.photo, pixels), self.model.albedo_space) / shading
        gap = ((shown + LEAST_COLOUR) / (paint + LEAST_COLOUR)).log()
        inside = (pixels >= 0.0).all(dim=1) & (pixels < torch.tensor(self.photo.shape[1::-1])).all(dim=1)
        share = ((facing[:, 0] - _SLANT_LOW) / (_SLANT_HIGH - _SLANT_LOW)).clamp(0.0, 1.0)
        share = share * inside * self.depth.shows(pixels, -position[:, 2])
        # Behind a perspective camera there are no pixels.
        return gap.nan_to_num(0.0), share.nan_to_num(0.0)


def _smoothed(normals: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Normals averaged over about a centimetre.

    Shading is removed with these: a fold of the fitted shape that misses the photo's by a few millimetres would leave a
    dark and a bright line, while light that leaves skin has spread below it anyway.
    """
    for _ in range(_SMOOTH_ROUNDS):
        means = normals[faces].mean(dim=1)
        sums = torch.zeros_like(normals).index_add(0, faces.reshape(-1), means.repeat_interleave(3, dim=0))
        normals = torch.nn.functional.normalize(sums, dim=1)
    return normals


def _sample_photo(photo: UInt8[np.ndarray, "h w 3"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Bilinear colours in [0, 1]; beyond the border the border's."""
    picture = torch.as_tensor(photo.astype(np.float32) / 255.0).permute(2, 0, 1)
    return sample_pixels(picture, pixels.float())
