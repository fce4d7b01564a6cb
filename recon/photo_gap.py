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
from recon.display import from_display
from recon.lighting import shade
from recon.render import rasterize, vertex_normals

_SLANT_LOW, _SLANT_HIGH = 0.25, 0.60
"""Cosine to the viewing ray below which a point is not taken from the photo, and above which it wholly is."""
_DEPTH_SLACK_MM = 1.5
_LEAST_SHADING = 0.08
_SMOOTH_ROUNDS = 10
LEAST_COLOUR = 0.01
"""Added to colours before their logarithm, below which they are noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """What is known of the head at each vertex.

    Attributes:
        v_cam: ``(1, V, 3)`` mm.
        paint: ``(V, 3)`` albedo in [0, 1].
        shading: ``(V, 3)`` the smooth light that falls there, above 0.
        facing: ``(V, 1)`` cosine between the normal and the ray to the camera.
    """

    v_cam: Float[Tensor, "1 v 3"]
    paint: Float[Tensor, "v 3"]
    shading: Float[Tensor, "v 3"]
    facing: Float[Tensor, "v 1"]

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        v_cam: Float[Tensor, "1 v 3"],
        albedo: Float[Tensor, "v 3"],
        lighting: Float[Tensor, "1 9 3"],
    ) -> Surface:
        """Of a head in the camera frame, under a light in the same frame."""
        faces = model.faces.cpu()
        normals = vertex_normals(v_cam, faces)[0]
        soft = _smoothed(normals, faces)
        shading = shade(torch.ones_like(soft)[None], soft[None], lighting)[0].clamp_min(_LEAST_SHADING)
        ray = -torch.nn.functional.normalize(v_cam[0], dim=-1)
        return cls(v_cam, albedo.clamp(0.0, 1.0), shading, (normals * ray).sum(dim=-1, keepdim=True))

    @property
    def columns(self) -> Float[Tensor, "v 10"]:
        """Everything side by side, for interpolation: position, paint, shading, cosine."""
        return torch.cat([self.v_cam[0], self.paint, self.shading, self.facing], dim=1)


def photo_gap(
    points: Float[Tensor, "n 10"],
    surface: Surface,
    model: MorphableModel,
    camera: PerspectiveCamera,
    photo: UInt8[np.ndarray, "h w 3"],
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """The gap at points of the surface, and how far the photo shows them: 0 where hidden or aslant.

    Args:
        points: rows of :attr:`Surface.columns`, or between them.
        surface: what may hide them.
        model: of the surface.
        camera: of the photo.
        photo: the full photo.
    """
    position, paint, shading, facing = points.split([3, 3, 3, 1], dim=1)
    pixels = camera.to_pixels(position[None])[0]
    shown = from_display(_sample_photo(photo, pixels), model.albedo_space) / shading
    gap = ((shown + LEAST_COLOUR) / (paint + LEAST_COLOUR)).log()
    share = ((facing[:, 0] - _SLANT_LOW) / (_SLANT_HIGH - _SLANT_LOW)).clamp(0.0, 1.0)
    share = share * _visible(model.faces.cpu(), surface.v_cam, camera, position, pixels, photo.shape[:2])
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
    picture = torch.as_tensor(photo.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    size = torch.tensor([photo.shape[1], photo.shape[0]], dtype=torch.float32)
    grid = (2.0 * pixels.float() / size - 1.0)[None, None]
    sampled = torch.nn.functional.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T


def _visible(
    faces: Int[Tensor, "f 3"],
    v_cam: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    position: Float[Tensor, "n 3"],
    pixels: Float[Tensor, "n 2"],
    photo_size: tuple[int, ...],
) -> Bool[Tensor, " n"]:
    """Whether the photo shows each point: inside the picture, and no nearer surface in front of it."""
    height, width = int(photo_size[0]), int(photo_size[1])
    v_pix = camera.to_pixels(v_cam)[0]
    low, high = v_pix.min(dim=0).values, v_pix.max(dim=0).values
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(width, int(high[0]) + 2), min(height, int(high[1]) + 2)
    inside = (pixels[..., 0] >= 0) & (pixels[..., 0] < width) & (pixels[..., 1] >= 0) & (pixels[..., 1] < height)
    if right <= left or bottom <= top:
        return torch.zeros_like(inside)
    # The depth test needs no more detail than the texture has.
    scale = min(1.0, 768.0 / max(right - left, bottom - top))
    size = (max(1, round(scale * (bottom - top))), max(1, round(scale * (right - left))))
    window = camera.cropped(float(left), float(top)).resized(size[1] / (right - left), size[0] / (bottom - top))
    raster = rasterize(window.to_clip(v_cam, size), faces, size)
    nearest = raster.unpack(
        torch.einsum("pk,pk->p", raster.barycentrics_packed, -v_cam[0, :, 2][raster.corner_index])[:, None]
    )[0, ..., 0]
    column = ((pixels[..., 0] - left) * size[1] / (right - left)).long().clamp(0, size[1] - 1)
    row = ((pixels[..., 1] - top) * size[0] / (bottom - top)).long().clamp(0, size[0] - 1)
    in_front = nearest[row, column]
    return inside & ((in_front <= 0.0) | (-position[..., 2] <= in_front + _DEPTH_SLACK_MM))
