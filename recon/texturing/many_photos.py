"""One texture from many photos of a head: at each texel the robust average of what they tell of the albedo.

Light stands still where heads turn: highlights and cast shadows move over the skin, so that what most photos agree on is the
skin. What one photo hides another shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import FaceSegmenter
from recon.texturing.bake import painted
from recon.texturing.observed_albedo import ObservedAlbedo
from recon.texturing.texels import Texels
from recon.texturing.unproject import PhotographedHead, TextureUnprojection
from recon.texturing.uv_map import UvMap

_AGREEING = 0.25
"""Logarithm of the distance from the average, root mean square of the channels, at which a photo counts a quarter."""
_ROUNDS = 3
_SHARE_OF_SKIN = 0.5
"""Of the photos that could show a point, those that must show skin there for it to be taken for skin: masks err in single photos."""
_AT_ONCE = 65_536
_OPEN = 0.5
"""Of the most, from which on eyes or a mouth are open."""


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoInTexture:
    """A photo that a texture is made of.

    Attributes:
        head: as it is in the photo.
        quality: how much the photo counts, above 0: its sharpness, say.
        eyes_open, mouth_open: in any unit, 0 or more: eyes and teeth are taken from photos in which they are at least half as open
            as at most.
    """

    head: PhotographedHead
    quality: float = 1.0
    eyes_open: float = 1.0
    mouth_open: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTexture:
    """A texture, and how well photos cover it.

    Attributes:
        colours: ``(T, T, 3)`` uint8 sRGB, first row at the top.
        coverage_percent: ``(T, T)`` of the photos that show the face there, 0 to 100; 0 off the face.
        covered_percent: of the face, what at least one photo shows.
    """

    colours: UInt8[np.ndarray, "t t 3"]
    coverage_percent: UInt8[np.ndarray, "t t"]
    covered_percent: float


class TextureCollector:
    """Takes photos one by one and makes a texture of them.

    Args:
        uv_map: of the heads' model.
        segmenter: tells visible skin from what covers it; ``None`` is a :class:`GrabCutSegmenter`.
    """

    def __init__(self, uv_map: UvMap, segmenter: FaceSegmenter | None = None) -> None:
        self._uv_map, self._segmenter = uv_map, segmenter or GrabCutSegmenter()
        self._texels: Texels | None = None
        self._observed: list[ObservedAlbedo] = []
        self._photos: list[tuple[float, float, float]] = []

    def add(self, photo: PhotoInTexture) -> None:
        """One photo more, of the same model and albedo. About 20 bytes a texel of the face are kept.

        Raises:
            ValueError: a quality that is not above 0.
            SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
        """
        if not photo.quality > 0.0:
            raise ValueError(f"the quality of a photo is above 0, got {photo.quality}")
        unprojection = TextureUnprojection.of(photo.head)
        if self._texels is None:
            model = photo.head.model
            self._model = model
            self._texels = Texels.of(self._uv_map, model, unprojection.points.albedo, keep_light=False)
        self._observed.append(ObservedAlbedo.of(unprojection, self._texels, self._segmenter))
        self._photos.append((photo.quality, photo.eyes_open, photo.mouth_open))

    def texture(self) -> FaceTexture:
        """Of all photos.

        Raises:
            ValueError: there are none.
        """
        if self._texels is None:
            raise ValueError("a texture needs at least one photo")
        quality, eyes_open, mouth_open = np.array(self._photos, dtype=np.float32).T
        average = averaged(self._observed, quality, eyes_open, mouth_open)
        colours = painted(average, self._texels, self._model)
        wanted = self._texels.from_photo > 0.0
        coverage = np.zeros(wanted.shape, dtype=np.uint8)
        shown = np.mean([one.weight for one in self._observed], axis=0)
        coverage[wanted] = (100.0 * shown).round().astype(np.uint8)
        covered = float((average.weight > 0.5).mean()) if len(average.weight) else 0.0
        return FaceTexture(colours, coverage, 100.0 * covered)


def averaged(
    photos: Sequence[ObservedAlbedo],
    quality: Float[np.ndarray, " k"],
    eyes_open: Float[np.ndarray, " k"],
    mouth_open: Float[np.ndarray, " k"],
) -> ObservedAlbedo:
    """What K photos tell together.

    Photos differ in what their fitted lights err by: each first takes the level that the photos have in the median where it shows
    the face. Then each texel is averaged robustly, weighted by how surely a photo shows it, by the square of its facing cosine
    (about the pixels that it has there) and by the photo's quality.

    Args:
        photos: of the same texels.
        quality: how much each counts, above 0.
        eyes_open, mouth_open: see :class:`PhotoInTexture`.
    """
    if len(photos) == 1:
        return photos[0]
    weight = np.stack([one.weight for one in photos])
    in_view = np.stack([one.in_view for one in photos])
    counts = weight * quality[:, None] * np.stack([one.facing_cosine for one in photos]).clip(0.0, 1.0) ** 2
    residual = _levelled(np.stack([one.residual for one in photos]), counts)
    average = np.concatenate([robust_mean(residual[:, at], counts[:, at]) for at in _chunks(residual.shape[1])])
    skin_share = weight.sum(axis=0) / np.maximum(in_view.sum(axis=0), 1e-6)
    seen = weight.max(axis=0) * np.minimum(1.0, skin_share / _SHARE_OF_SKIN)
    eyes, eyes_visible = _of_parts(
        [one.eyes for one in photos], [one.eyes_visible for one in photos], _opened(eyes_open)
    )
    teeth, teeth_visible = _of_parts(
        [one.teeth for one in photos], [one.teeth_visible for one in photos], _opened(mouth_open)
    )
    return ObservedAlbedo(
        average,
        seen,
        in_view.max(axis=0),
        np.max([one.facing_cosine for one in photos], axis=0),
        eyes,
        eyes_visible,
        teeth,
        teeth_visible,
    )


def robust_mean(values: Float[np.ndarray, "k n 3"], weights: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "n 3"]:
    """The weighted mean of K colours of which some are wrong: from the weighted median in brightness on, weights of Geman and
    McClure (1987). 0 where all weights are."""
    middle = _weighted_median(values, weights)
    for _ in range(_ROUNDS):
        square = ((values - middle) ** 2).mean(axis=2)
        trusted = weights / (1.0 + square / _AGREEING**2) ** 2
        total = np.maximum(trusted.sum(axis=0), 1e-9)
        middle = np.einsum("kn,knc->nc", trusted, values) / total[:, None]
    return np.asarray(middle, dtype=np.float32)


def _weighted_median(values: Float[np.ndarray, "k n 3"], weights: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "n 3"]:
    """The colour of median brightness."""
    order = np.argsort(values.mean(axis=2), axis=0)
    below = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    at = (below >= 0.5 * below[-1]).argmax(axis=0)
    chosen = np.take_along_axis(order, at[None], axis=0)
    return np.take_along_axis(values, chosen[..., None], axis=0)[0]


def _levelled(residual: Float[np.ndarray, "k n 3"], weight: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n 3"]:
    """Residuals without what each photo differs by as a whole from the median of all."""
    own = np.einsum("kn,knc->kc", weight, residual) / np.maximum(weight.sum(axis=1), 1e-6)[:, None]
    without = residual - own[:, None]
    common = np.concatenate([_weighted_median(without[:, at], weight[:, at]) for at in _chunks(residual.shape[1])])
    off = np.einsum("kn,knc->kc", weight, without - common) / np.maximum(weight.sum(axis=1), 1e-6)[:, None]
    return np.asarray(without - off[:, None] + own.mean(axis=0))


def _chunks(n: int) -> list[slice]:
    return [slice(first, first + _AT_ONCE) for first in range(0, max(n, 1), _AT_ONCE)]


def _opened(openness: Float[np.ndarray, " k"]) -> list[int]:
    """Photos in which eyes or mouth are at least half as open as at most."""
    return np.flatnonzero(openness >= _OPEN * openness.max()).tolist()


def _of_parts(
    residuals: Sequence[torch.Tensor], visible: Sequence[torch.Tensor], chosen: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Robust average of some photos where they show a part, and whether any does."""
    shown = torch.stack([visible[k] for k in chosen])
    values = torch.stack([residuals[k] for k in chosen])
    return torch.from_numpy(robust_mean(values.numpy(), shown.numpy().astype(np.float32))), shown.any(dim=0)
