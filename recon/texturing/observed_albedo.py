"""What a photo tells of a head's albedo: at texels of the face, at the eyes and at the teeth."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.segmentation.segmenter import FaceSegmenter
from recon.texturing.texels import Texels
from recon.texturing.unproject import HeadPoints, TextureUnprojection
from recon.texturing.visible_skin import VisibleSkin

_FEATHER_FRACTION = 0.012


@dataclasses.dataclass(frozen=True, eq=False)
class ObservedAlbedo:
    """Residuals: logarithms of a photo over the model's albedo times the smooth shading, at places of a head.

    N texels may show the photo (:attr:`recon.texturing.texels.Texels.from_photo`), M show teeth; V vertices.

    Attributes:
        residual: ``(N, 3)``.
        weight: ``(N,)`` in [0, 1] that the photo shows the face there; it fades out before its end.
        in_view: ``(N,)`` in [0, 1] the same by geometry alone, whatever may cover the skin.
        facing_cosine: ``(N,)`` between the normal and the ray to the camera.
        eyes: ``(V, 3)`` residual of vertices.
        eyes_visible: ``(V,)``.
        teeth: ``(M, 3)``.
        teeth_visible: ``(M,)``.
    """

    residual: Float[np.ndarray, "n 3"]
    weight: Float[np.ndarray, " n"]
    in_view: Float[np.ndarray, " n"]
    facing_cosine: Float[np.ndarray, " n"]
    eyes: Float[Tensor, "v 3"]
    eyes_visible: Bool[Tensor, " v"]
    teeth: Float[Tensor, "m 3"]
    teeth_visible: Bool[Tensor, " m"]

    @classmethod
    def of(cls, unprojection: TextureUnprojection, texels: Texels, segmenter: FaceSegmenter) -> ObservedAlbedo:
        """Of one photo.

        Raises:
            SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
        """
        skin = VisibleSkin.of(unprojection, segmenter)
        wanted = texels.from_photo
        chosen = wanted > 0.0
        points = _points_at(texels, unprojection, torch.from_numpy(chosen))
        residual, in_view = unprojection.log_albedo_residual(points)
        shown = (in_view * skin.confidence_at(unprojection.pixels(points))).nan_to_num(0.0).numpy()
        weight = np.zeros(wanted.shape, dtype=np.float32)
        weight[chosen] = shown
        weight = _feathered(weight * wanted, max(1, round(_FEATHER_FRACTION * len(wanted))))
        return cls(
            residual.numpy(),
            weight[chosen],
            in_view.numpy(),
            points.facing_cosine[:, 0].numpy(),
            *_observed_within(unprojection, unprojection.points, skin),
            *_observed_within(unprojection, _points_at(texels, unprojection, texels.teeth), skin),
        )


def _points_at(texels: Texels, unprojection: TextureUnprojection, chosen: Bool[Tensor, "t t"]) -> HeadPoints:
    triangles = unprojection.model.faces.cpu()
    return unprojection.points.interpolated(lambda values: texels.uv_map.sample_at(chosen, values, triangles))


def _observed_within(
    unprojection: TextureUnprojection, points: HeadPoints, skin: VisibleSkin
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """The log albedo residual at points of the surface, and whether the photo shows them within the outline of the skin."""
    residual, weight = unprojection.log_albedo_residual(points)
    return residual, (weight > 0.0) & skin.encloses(unprojection.pixels(points))


def _feathered(weight: Float[np.ndarray, "t t"], radius: int) -> Float[np.ndarray, "t t"]:
    """Shrunk and softened, so that the photo fades out before it ends."""
    side = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.erode(weight, np.ones(side, np.uint8))
    for _ in range(2):
        soft = cv2.blur(soft, side, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.minimum(soft, weight))
