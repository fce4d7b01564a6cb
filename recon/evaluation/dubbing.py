"""Edited clips against the truth: likeness, sharpness, how far lips are open, and whether they belong to the voice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from recon.dubbing.clips import FaceClip
from recon.dubbing.voices import features_of
from recon.evaluation.metrics.edited_pictures import cpbd, frechet_distance, region_psnr, region_ssim
from recon.evaluation.metrics.lip_sync import lip_sync, lips_mm, mouth_features
from recon.networks.sync_network import SyncNetwork

_MOST_PSNR = 60.0
"""Pictures that are equal count as this."""


@dataclasses.dataclass(frozen=True)
class ClipFigures:
    """Of one edited clip, the first frame left out, which an editor is shown.

    Attributes:
        ssim, psnr: within what is drawn.
        cpbd: of the crops; nan without edges.
        opening_mm: mean absolute error of how far the inner lips are apart, as the sync network sees the edited frames, against the truth;
            nan where that is not known.
        opening_correlation: over the clip; nan where either does not change.
        distance, confidence: of lips and voice, see :class:`recon.evaluation.metrics.lip_sync.LipSync`.
    """

    ssim: float
    psnr: float
    cpbd: float
    opening_mm: float
    opening_correlation: float
    distance: float
    confidence: float


def clip_figures(true: FaceClip, drawn: UInt8[np.ndarray, "t s s 3"], network: SyncNetwork) -> ClipFigures:
    """Compare an edited clip with the truth.

    Args:
        true: the clip as it was.
        drawn: ``(T, S, S, 3)`` its crops as an editor left them, which heard the clip's own voice or another.
        network: sees lips.

    Raises:
        ValueError: another number of frames.
    """
    if len(drawn) != len(true):
        raise ValueError(f"the edited clip has {len(drawn)} frames, the true one {len(true)}")
    regions = [(int(h[0]), int(h[1]), int(h[2]), int(h[3])) for h in true.hidden]
    pairs = list(zip(drawn, true.frames, regions, strict=True))[1:]
    found_mm = lips_mm(network, drawn)[1:, 0]
    true_mm = np.full(len(found_mm), np.nan) if true.lips_mm is None else true.lips_mm[1:, 0]
    sync = lip_sync(network, drawn, features_of(true))
    return ClipFigures(
        ssim=float(np.mean([region_ssim(*pair) for pair in pairs])),
        psnr=float(np.mean([min(region_psnr(*pair), _MOST_PSNR) for pair in pairs])),
        cpbd=_mean([cpbd(picture) for picture in drawn[1:]]),
        opening_mm=float(np.abs(found_mm - true_mm).mean()),
        opening_correlation=_correlation(found_mm, true_mm),
        distance=sync.distance,
        confidence=sync.confidence,
    )


def mean_figures(figures: Sequence[ClipFigures]) -> ClipFigures:
    """Means over clips, of each figure over those that have it."""
    names = [field.name for field in dataclasses.fields(ClipFigures)]
    return ClipFigures(*(_mean([getattr(one, name) for one in figures]) for name in names))


def copied(clip: FaceClip) -> UInt8[np.ndarray, "t s s 3"]:
    """The clip with the lower face of its first frame in all frames: what needs no ears."""
    drawn = clip.frames.copy()
    for k, (left, top, right, bottom) in enumerate(clip.hidden):
        drawn[k, top:bottom, left:right] = clip.frames[0, top:bottom, left:right]
    return drawn


def feature_distance(
    drawn: Sequence[UInt8[np.ndarray, "t s s 3"]], true: Sequence[UInt8[np.ndarray, "t s s 3"]], network: SyncNetwork
) -> float:
    """Frechet distance of what the sync network sees in edited and in true frames: not the FID, whose features are Inception's."""
    sides = [np.concatenate([mouth_features(network, crops) for crops in clips]) for clips in (drawn, true)]
    return frechet_distance(sides[0], sides[1])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _correlation(x: Float[np.ndarray, " t"], y: Float[np.ndarray, " t"]) -> float:
    if not np.isfinite(y).all() or x.std() < 1e-9 or y.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
