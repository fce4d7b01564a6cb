"""Which pixels of a photo show the bare face: an interface for face-parsing networks, and a default that needs none."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import srgb_to_linear
from recon.segmentation.skin_color import skin_trust

PARSE_PX = 160
"""Side of the crops that faces are cut out in: hair and hands are large."""

_ROUNDS = 3
_LIKE_SKIN, _UNLIKE_SKIN = 0.4, 0.3
_MARGIN_SHARE = 0.03
_HAIRLINE_SHARE = 0.1
_CHIN_SHARE = 0.85
_FEWEST_PX = 30
_LEAST_TRUST = 0.3

_FINE_SHARE, _AROUND_SHARE, _LOCK_SHARE = 0.028, 0.038, 0.12
"""Standard deviations of what is fine and of what lies around, and the least width of a lock of hair: in shares of the
face's size, the root of its area."""
_STRONG, _LEAST_STRONG, _MOSTLY = 2.25, 0.06, 0.5
"""A pixel stands out when it differs from its surroundings by so many times what is usual in the calmest third of cheeks
and nose, at least by so much in log brightness. Among strands of hair most pixels do; along a wrinkle few."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceGuess:
    """Where a model that has been placed by its landmarks believes the face to be.

    Attributes:
        face: ``(H, W)`` the face, ear to ear and hairline to chin.
        bare: ``(H, W)`` cheeks and nose, which hair, beard and glasses mostly leave free.
        forehead: ``(H, W)`` where a fringe may hang.
        head: ``(H, W)`` everything of the head that was drawn.
    """

    face: Bool[np.ndarray, "h w"]
    bare: Bool[np.ndarray, "h w"]
    forehead: Bool[np.ndarray, "h w"]
    head: Bool[np.ndarray, "h w"]


def guess_face(model: MorphableModel, triangle_ids: Int[Tensor, "h w"]) -> FaceGuess:
    """The guess of a drawn model, from the triangle at each pixel, -1 for none."""

    def shown(*names: str) -> Bool[np.ndarray, "h w"]:
        inside = model.any_region(*names) if set(names) & set(model.region_names) else ~model.any_region()
        whole = inside[model.faces].all(dim=1)
        return np.asarray((whole[triangle_ids.clamp_min(0).long()] & (triangle_ids >= 0)).cpu().numpy())

    head = np.asarray((triangle_ids >= 0).cpu().numpy())
    forehead = shown("forehead") if "forehead" in model.region_names else np.zeros_like(head)
    return FaceGuess(shown("face"), shown("cheeks", "nose"), forehead, head)


@runtime_checkable
class FaceParser(Protocol):
    """Tells the bare face from hair, hands, glasses and background. A network may ignore the guess."""

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"], guess: FaceGuess) -> Float[np.ndarray, "h w"]:
        """How surely each pixel shows the bare face, in [0, 1].

        Args:
            pixels: sRGB crop around one face.
            guess: where it should be.
        """
        ...


def cut_face(pixels: UInt8[np.ndarray, "h w 3"], guess: FaceGuess) -> Float[np.ndarray, "h w"]:
    """The default parser: a graph cut between colours of the cheeks and colours of what surrounds the head.

    GrabCut (Rother, Kolmogorov and Blake 2004) starts from the guess and from the likeness to the skin of cheeks and
    nose; where strands of hair lie across a cheek, they are no skin to be like. A fringe of hair has the colours of the
    hair around it, so it goes even where it is as light as skin, and so do single strands on a forehead; what lies amid
    skin, as lips, eyes and brows do, stays. What stays but does not look like skin is believed less.
    """
    hair = strands(pixels, guess)
    bare, face = guess.bare & ~hair, guess.face & ~(guess.forehead & hair)
    skin = _skin(pixels, bare)
    sure = cv2.erode(bare.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    beside = _around(guess) & (skin < _UNLIKE_SKIN)
    if int(sure.sum()) < _FEWEST_PX or int(beside.sum()) < _FEWEST_PX:
        return np.asarray(face * skin)
    labels = np.full(guess.face.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    labels[guess.face & (skin > _LIKE_SKIN)] = cv2.GC_PR_FGD
    labels[beside] = cv2.GC_BGD
    labels[sure] = cv2.GC_FGD
    # The cut clusters colours from a random start.
    cv2.setRNGSeed(0)
    colours = np.ascontiguousarray(pixels[..., ::-1])
    cv2.grabCut(colours, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    # What skin surrounds is a part of the face, whatever its colour.
    filled = binary_fill_holes((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    inside = face & filled
    return np.asarray(cv2.blur(inside.astype(np.float64), (3, 3)) * (_LEAST_TRUST + (1.0 - _LEAST_TRUST) * skin))


def strands(pixels: UInt8[np.ndarray, "h w 3"], guess: FaceGuess) -> Bool[np.ndarray, "h w"]:
    """Where hair lies across cheeks, nose or forehead: strands of any colour alternate finely, skin beside them does not.

    Freckles or the grain of a photo are everywhere, so that nothing stands out.

    Args:
        pixels: sRGB crop around one face.
        guess: where it should be.
    """
    if not (guess.face & guess.bare).any():
        return np.zeros_like(guess.bare)
    size_px = float(np.sqrt(guess.face.sum()))
    bright = np.log(np.maximum(srgb_to_linear(torch.from_numpy(pixels / 255.0)).numpy().mean(axis=-1), 0.02))
    fine = np.abs(bright - cv2.GaussianBlur(bright, (0, 0), _FINE_SHARE * size_px))
    usual = cv2.GaussianBlur(fine, (0, 0), _AROUND_SHARE * size_px)
    strong = fine > max(_STRONG * float(np.quantile(usual[guess.bare], 1 / 3)), _LEAST_STRONG)
    mostly = cv2.GaussianBlur(strong.astype(np.float64), (0, 0), _AROUND_SHARE * size_px) > _MOSTLY
    rough = ((guess.bare | guess.forehead) & mostly).astype(np.uint8)
    lock = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(0.5 * _LOCK_SHARE * size_px) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(rough, cv2.MORPH_OPEN, lock) > 0)


def _skin(pixels: UInt8[np.ndarray, "h w 3"], bare: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    picture = torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    return np.asarray(skin_trust(picture, torch.from_numpy(bare)[None, None].float())[0, 0].double().numpy())


def _around(guess: FaceGuess) -> Bool[np.ndarray, "h w"]:
    """Beside and above the head: hair and background, but not the neck."""
    height, width = guess.face.shape
    rows = np.nonzero(guess.face.any(axis=1))[0]
    if not len(rows):
        return np.zeros_like(guess.face)
    top, chin = int(rows[0]), int(rows[-1])
    margin = 2 * max(1, round(_MARGIN_SHARE * max(height, width))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))
    grown = cv2.dilate(guess.head.astype(np.uint8), kernel) > 0
    row = np.arange(height)[:, None]
    beside = ~grown & (row < _CHIN_SHARE * chin)
    above = ~guess.face & (row < top + _HAIRLINE_SHARE * (chin - top))
    return np.asarray(beside | above)
