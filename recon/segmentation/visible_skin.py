"""Which pixels of a photo show the bare face of a fitted head, and what its outline encloses."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from recon.io.resample import resample
from recon.render import rasterize
from recon.render.sampling import sample_pixels
from recon.segmentation.grabcut import PARSE_PX, FaceParser, guess_face
from recon.texturing.unproject import SeenSurface

_CROP_MARGIN = 1.35
_HAIRLINE_PX, _BORDER_TRUST = 7, 0.15
"""Width in pixels of the parser's crop by which its outline shrinks on both sides together, and what counts as within:
roots and single hairs lie before the skin that it finds."""


@dataclasses.dataclass(frozen=True, eq=False)
class BareFace:
    """A parser's answer for the square crop around a face.

    Attributes:
        share: ``(S, S)`` how surely each pixel shows bare face, 0 close to the outline.
        outline: ``(S, S)`` 1 within the outline, eyes and mouth included, else 0.
        corner: ``(2,)`` of the crop, px of the photo.
        side: of the crop, px of the photo.
    """

    share: Float[Tensor, "s s"]
    outline: Float[Tensor, "s s"]
    corner: Float[Tensor, " 2"]
    side: float

    @classmethod
    def of(cls, surface: SeenSurface, parser: FaceParser) -> BareFace:
        """Ask a parser about the photo of a head."""
        model, camera, v_cam = surface.model, surface.camera, surface.v_cam
        inside = model.region("face") if "face" in model.region_names else ~model.any_region()
        v_pix = camera.to_pixels(v_cam)[0, inside.cpu()]
        low, high = v_pix.min(dim=0).values, v_pix.max(dim=0).values
        side = _CROP_MARGIN * float((high - low).max())
        corner = 0.5 * (low + high) - 0.5 * side
        left, top = corner.tolist()
        scale, size = PARSE_PX / side, (PARSE_PX, PARSE_PX)
        window = camera.cropped(left, top).resized(scale, scale)
        drawn = rasterize(window.to_clip(v_cam, size), model.faces.cpu(), size)
        photo_from_crop = np.array([[1.0 / scale, 0.0, left], [0.0, 1.0 / scale, top], [0.0, 0.0, 1.0]])
        pixels = resample(surface.photo, photo_from_crop, size)
        bare = parser(pixels, guess_face(model, drawn.triangle_ids[0])).astype(np.float32)
        # Brows and lashes are no border.
        outline = binary_fill_holes(bare > _BORDER_TRUST).astype(np.float32)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_HAIRLINE_PX, _HAIRLINE_PX))
        share = bare * cv2.erode(outline, kernel)
        return cls(torch.from_numpy(share), torch.from_numpy(outline), corner, side)

    def share_at(self, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """How surely pixels of the photo show bare face."""
        return self._at(self.share, pixels)

    def encloses(self, pixels: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
        """Whether pixels of the photo lie within the outline."""
        return self._at(self.outline, pixels) > 0.5

    def _at(self, crop: Float[Tensor, "s s"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        in_crop = (pixels - self.corner) * (len(crop) / self.side)
        return sample_pixels(crop[None], in_crop.float(), outside="zeros")[:, 0]
