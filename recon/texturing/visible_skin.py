"""Which pixels of a photo show the skin of a fitted head, and what the border of that skin encloses."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from recon.color import encode_srgb_unclamped
from recon.io.resample import resample
from recon.render import rasterize
from recon.render.sampling import sample_pixels
from recon.segmentation.segmenter import SEGMENTATION_PX, FaceSegmenter, RenderedRegions, segment
from recon.texturing.unproject import TextureUnprojection

_CROP_MARGIN = 1.35
_HAIRLINE_PX, _BORDER_CONFIDENCE = 7, 0.15
"""Width in pixels of the segmenter's crop by which its outline shrinks on both sides together, and what counts as within:
roots and single hairs lie before the skin that it finds."""


@dataclasses.dataclass(frozen=True, eq=False)
class VisibleSkin:
    """A segmenter's answer for the square crop around a face.

    Attributes:
        confidence: ``(S, S)`` in [0, 1] that a pixel shows visible skin, 0 close to the outline.
        enclosed: ``(S, S)`` 1 within the outline, eyes and mouth included, else 0.
        corner_px: ``(2,)`` of the crop, px of the photo.
        side_px: of the crop, px of the photo.
    """

    confidence: Float[Tensor, "s s"]
    enclosed: Float[Tensor, "s s"]
    corner_px: Float[Tensor, " 2"]
    side_px: float

    @classmethod
    def of(cls, unprojection: TextureUnprojection, segmenter: FaceSegmenter) -> VisibleSkin:
        """Ask a segmenter about the photo of a head.

        Raises:
            SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
        """
        model, camera, v_cam = unprojection.model, unprojection.camera, unprojection.v_cam
        inside = model.region("face") if "face" in model.region_names else ~model.any_region()
        v_px = camera.to_pixels(v_cam)[0, inside.cpu()]
        low, high = v_px.min(dim=0).values, v_px.max(dim=0).values
        side = _CROP_MARGIN * float((high - low).max())
        corner = 0.5 * (low + high) - 0.5 * side
        left, top = corner.tolist()
        scale, size = SEGMENTATION_PX / side, (SEGMENTATION_PX, SEGMENTATION_PX)
        window = camera.cropped(left, top).resized(scale, scale)
        raster = rasterize(window.to_clip(v_cam, size), model.faces.cpu(), size)
        corners = (unprojection.points.albedo * unprojection.points.shading)[raster.corner_index.long()]
        colours = raster.unpack((raster.barycentrics_packed[..., None] * corners).sum(dim=1)).permute(0, 3, 1, 2)
        prior = RenderedRegions.of_triangles(
            model, raster.triangle_ids, encode_srgb_unclamped(colours, model.albedo_space)
        )
        photo_from_crop = np.array([[1.0 / scale, 0.0, left], [0.0, 1.0 / scale, top], [0.0, 0.0, 1.0]])
        pixels = resample(unprojection.photo, photo_from_crop, size)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255.0
        mask = segment(segmenter, image, prior)[0, 0].numpy()
        # Brows and lashes are no border.
        enclosed = binary_fill_holes(mask > _BORDER_CONFIDENCE).astype(np.float32)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_HAIRLINE_PX, _HAIRLINE_PX))
        confidence = mask * cv2.erode(enclosed, kernel)
        return cls(torch.from_numpy(confidence), torch.from_numpy(enclosed), corner, side)

    def confidence_at(self, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Confidence in [0, 1] that pixels of the photo show visible skin."""
        return self._at(self.confidence, pixels)

    def encloses(self, pixels: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
        """Whether pixels of the photo lie within the outline."""
        return self._at(self.enclosed, pixels) > 0.5

    def _at(self, crop: Float[Tensor, "s s"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        in_crop = (pixels - self.corner_px) * (len(crop) / self.side_px)
        return sample_pixels(crop[None], in_crop.float(), outside="zeros")[:, 0]
