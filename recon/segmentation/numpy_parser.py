"""The interface to face parsers of before :mod:`recon.segmentation.segmenter`, removed in version 0.2."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.segmentation.grabcut import RegionMasks, images_to_pixels, visible_skin_mask
from recon.segmentation.segmenter import RenderedRegions, SegmentationError


@dataclasses.dataclass(frozen=True, eq=False)
class FaceGuess:
    """The old form of :class:`recon.segmentation.grabcut.RegionMasks`.

    Attributes:
        face: ``(H, W)`` the face, ear to ear and hairline to chin.
        bare: ``(H, W)`` its ``skin_core``: cheeks and nose.
        forehead: ``(H, W)`` where a fringe may hang.
        head: ``(H, W)`` its ``covered``: everything of the head that was rendered.
    """

    face: Bool[np.ndarray, "h w"]
    bare: Bool[np.ndarray, "h w"]
    forehead: Bool[np.ndarray, "h w"]
    head: Bool[np.ndarray, "h w"]


@runtime_checkable
class FaceParser(Protocol):
    """The old form of :class:`recon.segmentation.segmenter.FaceSegmenter`, of one picture."""

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"], guess: FaceGuess) -> Float[np.ndarray, "h w"]:
        """Confidence in [0, 1] that each pixel of an sRGB crop shows visible facial skin."""
        ...


def guess_face(model: MorphableModel, triangle_ids: Int[Tensor, "h w"]) -> FaceGuess:
    """The old form of :meth:`recon.segmentation.segmenter.RenderedRegions.of_triangles`, of one picture."""
    return _guesses(RenderedRegions.of_triangles(model, triangle_ids[None]), guess_face)[0]


def cut_face(pixels: UInt8[np.ndarray, "h w 3"], guess: FaceGuess) -> Float[np.ndarray, "h w"]:
    """The old form of :class:`recon.segmentation.grabcut.GrabCutSegmenter`, of one picture."""
    return visible_skin_mask(pixels, RegionMasks(guess.head, guess.face, guess.bare, guess.forehead))


class ParserSegmenter:
    """A segmenter that asks a parser of the old form about each picture.

    Needs ``covered``, ``face``, ``skin_core`` and ``forehead`` of the prior.

    Args:
        parser: as a user wrote it for ``Reconstructor(face_parser=...)``.
    """

    def __init__(self, parser: FaceParser) -> None:
        self.parser = parser

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None) -> Float[Tensor, "b 1 h w"]:
        """See :class:`recon.segmentation.segmenter.FaceSegmenter`.

        Raises:
            SegmentationError: the parser's answer is no mask of its picture.
        """
        masks = []
        for pixels, guess in zip(images_to_pixels(images), _guesses(prior, self), strict=True):
            mask = np.asarray(self.parser(pixels, guess))
            if mask.shape != guess.face.shape:
                raise SegmentationError(
                    f"the face parser answered with an array of shape {mask.shape} for a picture of {guess.face.shape}: "
                    "it must give one number for each pixel"
                )
            masks.append(mask)
        return torch.from_numpy(np.stack(masks))[:, None].to(images)


def segmenter_of_parser(parser: FaceParser) -> ParserSegmenter:
    """The adapter, with a warning that tells the caller's caller what to write instead."""
    warnings.warn(
        "face_parser is now segmenter, a function of images (B, 3, H, W) and a RenderedRegions; see "
        "recon.segmentation.segmenter.FaceSegmenter",
        FutureWarning,
        stacklevel=3,
    )
    return ParserSegmenter(parser)


def _guesses(prior: RenderedRegions | None, segmenter: object) -> list[FaceGuess]:
    return [FaceGuess(m.face, m.skin_core, m.forehead, m.covered) for m in RegionMasks.of(prior, segmenter)]
