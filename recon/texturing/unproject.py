"""Unprojection of a photo onto a head's surface, as a residual against what the model would show there.

The log albedo residual is the logarithm of the photo's colour over the model's albedo times its smooth shading.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.color import decode_srgb
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
LOG_OFFSET = 0.01
"""Added to colours before their logarithm, below which they are noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class PhotographedHead:
    """A fitted head, and the photo that it was fitted to.

    Attributes:
        model: for triangles, regions and UV layout.
        vertices: ``(1, V, 3)`` mm, object frame.
        albedo: ``(1, V, 3)`` in the model's space.
        lighting: ``(1, 9, 3)``, camera frame.
        camera: of the photo, with the head's pose.
        photo: ``(H, W, 3)`` the full photo, uint8 sRGB.
    """

    model: MorphableModel
    vertices: Float[Tensor, "1 v 3"]
    albedo: Float[Tensor, "1 v 3"]
    lighting: Float[Tensor, "1 9 3"]
    camera: PosedCamera
    photo: UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadPoints:
    """N points of a head's surface.

    Attributes:
        v_cam: ``(N, 3)`` mm, camera frame.
        albedo: ``(N, 3)`` in [0, 1].
        shading: ``(N, 3)`` the smooth light that falls there, above 0.
        facing_cosine: ``(N, 1)`` between the normal and the ray to the camera.
    """

    v_cam: Float[Tensor, "n 3"]
    albedo: Float[Tensor, "n 3"]
    shading: Float[Tensor, "n 3"]
    facing_cosine: Float[Tensor, "n 1"]

    def interpolated(self, interpolate: Callable[[Tensor], Tensor]) -> HeadPoints:
        """Points between these, by a function that interpolates the columns of a matrix."""
        packed = interpolate(torch.cat([self.v_cam, self.albedo, self.shading, self.facing_cosine], dim=1))
        return HeadPoints(*packed.split([3, 3, 3, 1], dim=1))


@dataclasses.dataclass(frozen=True, eq=False)
class _DepthMap:
    """The nearest surface in a part of the photo.

    Attributes:
        depth_mm: ``(h, w)``, 0 where there is no surface.
        corner_px: ``(2,)`` of the part, px of the photo.
        scale: ``(2,)`` pixels of the map over pixels of the photo, x then y.
    """

    depth_mm: Float[Tensor, "h w"]
    corner_px: Float[Tensor, " 2"]
    scale: Float[Tensor, " 2"]

    @classmethod
    def of(
        cls, v_cam: Float[Tensor, "1 v 3"], triangles: Int[Tensor, "f 3"], camera: PosedCamera, photo_size: list[int]
    ) -> _DepthMap:
        """Of the part that the head takes up; 1 empty pixel if it lies beside the photo."""
        v_px = camera.to_pixels(v_cam)[0]
        least = v_px.min(dim=0).values.long().clamp_min(0)
        most = torch.minimum(v_px.max(dim=0).values.long() + 2, torch.tensor(photo_size[::-1]))
        extent = most - least
        if bool((extent <= 0).any()):
            return cls(torch.zeros(1, 1), torch.zeros(2), torch.zeros(2))
        shrink = min(1.0, _DEPTH_PX / float(extent.max()))
        width, height = (shrink * extent).round().long().clamp_min(1).tolist()
        scale = torch.tensor([width, height]) / extent
        window = camera.cropped(*least.float().tolist()).resized(*scale.tolist())
        raster = rasterize(window.to_clip(v_cam, (height, width)), triangles, (height, width))
        corners = -v_cam[0, :, 2][raster.corner_index]
        nearest = raster.unpack((raster.barycentrics_packed * corners).sum(dim=1, keepdim=True))[0, ..., 0]
        return cls(nearest, least.float(), scale)

    def shows(self, pixels: Float[Tensor, "n 2"], depth_mm: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether no surface lies before points at these pixels of the photo."""
        height, width = self.depth_mm.shape
        column, row = ((pixels - self.corner_px) * self.scale).nan_to_num(0.0).long().T
        nearest = self.depth_mm[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        return (nearest <= 0.0) | (depth_mm <= nearest + _DEPTH_SLACK_MM)


@dataclasses.dataclass(frozen=True, eq=False)
class TextureUnprojection:
    """A head in front of a camera, and the photo that the camera took.

    Attributes:
        model: of the head.
        points: at the V vertices.
        camera, photo: of the full photo.
        depth: what hides what.
    """

    model: MorphableModel
    points: HeadPoints
    camera: PosedCamera
    photo: UInt8[np.ndarray, "h w 3"]
    depth: _DepthMap

    @classmethod
    def of(cls, head: PhotographedHead) -> TextureUnprojection:
        """Of a head in the light that was fitted; on the CPU."""
        triangles = head.model.faces.cpu()
        v_cam = head.camera.to_camera(head.vertices).cpu()
        normals = vertex_normals(v_cam, triangles)[0]
        smooth = _smoothed(normals, triangles)
        shading = shade(torch.ones_like(smooth)[None], smooth[None], head.lighting.cpu())[0].clamp_min(_LEAST_SHADING)
        facing_cosine = -(normals * head.camera.view_rays(v_cam)[0]).sum(dim=-1, keepdim=True)
        points = HeadPoints(v_cam[0], head.albedo[0].cpu().clamp(0.0, 1.0), shading, facing_cosine)
        depth = _DepthMap.of(v_cam, triangles, head.camera, list(head.photo.shape[:2]))
        return cls(head.model, points, head.camera, head.photo, depth)

    @property
    def v_cam(self) -> Float[Tensor, "1 v 3"]:
        """Vertices, mm, camera frame."""
        return self.points.v_cam[None]

    def pixels(self, points: HeadPoints) -> Float[Tensor, "n 2"]:
        """Where in the photo points of the surface lie."""
        return self.camera.to_pixels(points.v_cam[None])[0]

    def log_albedo_residual(self, points: HeadPoints) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
        """The residual at points of the surface, and the weight in [0, 1] that the photo has there: 0 where it shows the point
        not at all, because something hides it, it is seen aslant or lies beyond the border."""
        pixels = self.pixels(points)
        observed = decode_srgb(_sample_photo(self.photo, pixels), self.model.albedo_space) / points.shading
        residual = ((observed + LOG_OFFSET) / (points.albedo + LOG_OFFSET)).log()
        inside = (pixels >= 0.0).all(dim=1) & (pixels < torch.tensor(self.photo.shape[1::-1])).all(dim=1)
        weight = ((points.facing_cosine[:, 0] - _SLANT_LOW) / (_SLANT_HIGH - _SLANT_LOW)).clamp(0.0, 1.0)
        weight = weight * inside * self.depth.shows(pixels, -points.v_cam[:, 2])
        # Behind a perspective camera there are no pixels.
        return residual.nan_to_num(0.0), weight.nan_to_num(0.0)


def _smoothed(normals: Float[Tensor, "v 3"], triangles: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Normals averaged over about a centimetre.

    Shading is removed with these: a fold of the fitted shape that misses the photo's by a few millimetres would leave a
    dark and a bright line, while light that leaves skin has spread below it anyway.
    """
    for _ in range(_SMOOTH_ROUNDS):
        means = normals[triangles].mean(dim=1)
        sums = torch.zeros_like(normals).index_add(0, triangles.reshape(-1), means.repeat_interleave(3, dim=0))
        normals = torch.nn.functional.normalize(sums, dim=1)
    return normals


def _sample_photo(photo: UInt8[np.ndarray, "h w 3"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Bilinear colours in [0, 1]; beyond the border the border's."""
    picture = torch.as_tensor(photo.astype(np.float32) / 255.0).permute(2, 0, 1)
    return sample_pixels(picture, pixels.float())
