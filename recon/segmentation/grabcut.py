"""Segmentation of visible facial skin by a graph cut on colours: a default that needs no network."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from recon.color import srgb_to_linear
from recon.segmentation.segmenter import RenderedRegions, Segmenter, known_fields
from recon.segmentation.skin_color import skin_color_confidence

_ROUNDS = 3
_LIKE_SKIN, _UNLIKE_SKIN = 0.4, 0.3
_MARGIN_FRACTION = 0.03
_HAIRLINE_FRACTION = 0.1
_CHIN_FRACTION = 0.85
"""Of the height from the face's top to its chin: above this, what lies beside the head is no neck."""
_FEWEST_PX = 30
_LEAST_CONFIDENCE = 0.3

_FINE_FRACTION, _AROUND_FRACTION, _LOCK_FRACTION = 0.028, 0.038, 0.12
"""Standard deviations of what is fine and of what lies around, and the least width of a lock of hair: in fractions of the
face's size, the root of its area."""
_STRONG, _LEAST_STRONG, _MOSTLY = 2.25, 0.06, 0.5
"""A pixel stands out when it differs from its surroundings by so many times what is usual in the calmest third of cheeks
and nose, at least by so much in log brightness. Among strands of hair most pixels do; along a wrinkle few."""


@dataclasses.dataclass(frozen=True, eq=False)
class RegionMasks:
    """One picture of a :class:`recon.segmentation.segmenter.RenderedRegions`, as numpy masks ``(H, W)``."""

    covered: Bool[np.ndarray, "h w"]
    face: Bool[np.ndarray, "h w"]
    skin_core: Bool[np.ndarray, "h w"]
    forehead: Bool[np.ndarray, "h w"]

    @classmethod
    def of(cls, prior: RenderedRegions | None, segmenter: object) -> list[RegionMasks]:
        """Of each picture.

        Args:
            prior: that a segmenter was given.
            segmenter: for the error.

        Raises:
            SegmentationError: a region is not known.
        """
        names = tuple(field.name for field in dataclasses.fields(cls))
        masks = [mask[:, 0].cpu().numpy() for mask in known_fields(segmenter, prior, names)]
        return [cls(*(mask[index] for mask in masks)) for index in range(len(masks[0]))]


class GrabCutSegmenter(Segmenter):
    """A graph cut between colours of the cheeks and colours of what surrounds the head; see :func:`visible_skin_mask`.

    Needs ``covered``, ``face``, ``skin_core`` and ``forehead`` of the prior. Works on the CPU, picture by picture.
    """

    NEEDS = ("covered", "face", "skin_core", "forehead")

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None) -> Float[Tensor, "b 1 h w"]:
        """See :class:`recon.segmentation.segmenter.FaceSegmenter`; 0 off the face."""
        masks = [
            visible_skin_mask(pixels, regions)
            for pixels, regions in zip(images_to_pixels(images), RegionMasks.of(prior, self), strict=True)
        ]
        return torch.from_numpy(np.stack(masks))[:, None].to(images)


def images_to_pixels(images: Float[Tensor, "b 3 h w"]) -> UInt8[np.ndarray, "b h w 3"]:
    """Code values in [0, 1] as bytes."""
    pixels = (255.0 * images.permute(0, 2, 3, 1)).round().clamp(0.0, 255.0)
    return np.ascontiguousarray(pixels.to(torch.uint8).cpu().numpy())


def visible_skin_mask(pixels: UInt8[np.ndarray, "h w 3"], regions: RegionMasks) -> Float[np.ndarray, "h w"]:
    """Confidence in [0, 1] that each pixel shows visible facial skin.

    GrabCut (Rother, Kolmogorov and Blake 2004) starts from the regions and from the likeness to the skin of cheeks and
    nose; where strands of hair lie across a cheek, they are no skin to be like. A fringe of hair has the colours of the
    hair around it, so it goes even where it is as light as skin, and so do single strands on a forehead; what lies amid
    skin, as lips, eyes and brows do, stays. What stays but does not look like skin gets less confidence.

    Args:
        pixels: sRGB crop around one face.
        regions: where a placed head lies in it.
    """
    hair = hair_strands(pixels, regions)
    skin_core, face = regions.skin_core & ~hair, regions.face & ~(regions.forehead & hair)
    skin = _skin_color(pixels, skin_core)
    sure = cv2.erode(skin_core.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    beside = surroundings(regions) & (skin < _UNLIKE_SKIN)
    if int(sure.sum()) < _FEWEST_PX or int(beside.sum()) < _FEWEST_PX:
        return np.asarray(face * skin)
    labels = np.full(regions.face.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    labels[regions.face & (skin > _LIKE_SKIN)] = cv2.GC_PR_FGD
    labels[beside] = cv2.GC_BGD
    labels[sure] = cv2.GC_FGD
    # The cut clusters colours from a random start.
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    cv2.grabCut(bgr, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    # What skin surrounds is a part of the face, whatever its colour.
    filled = binary_fill_holes((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    inside = face & filled
    confidence = _LEAST_CONFIDENCE + (1.0 - _LEAST_CONFIDENCE) * skin
    return np.asarray(cv2.blur(inside.astype(np.float64), (3, 3)) * confidence)


def hair_strands(pixels: UInt8[np.ndarray, "h w 3"], regions: RegionMasks) -> Bool[np.ndarray, "h w"]:
    """Where hair lies across cheeks, nose or forehead: strands of any colour alternate finely, skin beside them does not.

    Freckles or the grain of a photo are everywhere, so that nothing stands out.

    Args:
        pixels: sRGB crop around one face.
        regions: where a placed head lies in it.
    """
    if not (regions.face & regions.skin_core).any():
        return np.zeros_like(regions.skin_core)
    size_px = float(np.sqrt(regions.face.sum()))
    linear = srgb_to_linear(torch.from_numpy(pixels / 255.0)).numpy()
    log_brightness = np.log(np.maximum(linear.mean(axis=-1), 0.02))
    fine = np.abs(log_brightness - cv2.GaussianBlur(log_brightness, (0, 0), _FINE_FRACTION * size_px))
    usual = cv2.GaussianBlur(fine, (0, 0), _AROUND_FRACTION * size_px)
    strong = fine > max(_STRONG * float(np.quantile(usual[regions.skin_core], 1 / 3)), _LEAST_STRONG)
    mostly = cv2.GaussianBlur(strong.astype(np.float64), (0, 0), _AROUND_FRACTION * size_px) > _MOSTLY
    rough = ((regions.skin_core | regions.forehead) & mostly).astype(np.uint8)
    lock = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(0.5 * _LOCK_FRACTION * size_px) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(rough, cv2.MORPH_OPEN, lock) > 0)


def _skin_color(pixels: UInt8[np.ndarray, "h w 3"], skin_core: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    image = torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    confidence = skin_color_confidence(image, torch.from_numpy(skin_core)[None, None].float())
    return np.asarray(confidence[0, 0].double().numpy())


def surroundings(regions: RegionMasks) -> Bool[np.ndarray, "h w"]:
    """Beside and above the head: hair and background, but not the neck. Moves with the head."""
    height, width = regions.face.shape
    rows = np.nonzero(regions.face.any(axis=1))[0]
    if not len(rows):
        return np.zeros_like(regions.face)
    top, chin = int(rows[0]), int(rows[-1])
    # Of the shorter side: rows or columns added to a crop change nothing.
    margin = 2 * max(1, round(_MARGIN_FRACTION * min(height, width))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))
    grown = cv2.dilate(regions.covered.astype(np.uint8), kernel) > 0
    row = np.arange(height)[:, None]
    beside = ~grown & (row < top + _CHIN_FRACTION * (chin - top))
    above = ~regions.face & (row < top + _HAIRLINE_FRACTION * (chin - top))
    return np.asarray(beside | above)
