"""Motion of a mouth that speaks phonemes: each pulls the articulators towards its targets, and neighbours blend.

After Cohen & Massaro 1993, "Modeling coarticulation in synthetic visual speech": phoneme p has, for each articulator, a dominance
``D_p(t) = alpha exp(-theta |tau|^c)`` and the articulator's course is the mean of all targets weighted by it, ``F(t) = sum D_p T_p / sum D_p``.
Unlike theirs, tau counts from the edge of the phoneme's middle part and not from its middle, so that long sounds are held; theta is told
by its reach, ``theta = reach^-c``.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from recon.speech.articulation import ARTICULATORS
from recon.speech.phonemes import PhonemeTrack
from recon.speech.visemes import REST, Viseme, visemes_of

_HELD = 0.5
"""Share of a sound, in its middle, through which its dominance is full."""
_FELT_S = 1.0
"""Sounds farther away than this are not felt."""
_BLOCK_S = 2.0
_PAUSE_S = 0.05
"""Silence shorter than this is no rest."""
_REST_MARGIN_S = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class _Mouths:
    """S mouths, and the times between which each is felt in full; those of rests may be infinite."""

    full_from_s: Float[np.ndarray, " s"]
    full_to_s: Float[np.ndarray, " s"]
    visemes: list[Viseme]

    def stacked(self, name: str) -> Float[np.ndarray, "s a"]:
        return np.stack([getattr(viseme, name) for viseme in self.visemes])


def articulation(phonemes: PhonemeTrack, times_s: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 8"]:
    """What the mouth does at times.

    Args:
        phonemes: what is spoken; around it and in pauses the mouth rests shut.
        times_s: ``(T,)`` in any order.

    Returns:
        ``(T, 8)`` of :data:`recon.speech.articulation.ARTICULATORS`, each in [0, 1].
    """
    mouths = _mouths(phonemes)
    target, strength = mouths.stacked("target"), mouths.stacked("dominance")
    reach_s, power = mouths.stacked("reach_s"), mouths.stacked("power")
    order = np.argsort(times_s, kind="stable")
    found = np.zeros((len(times_s), len(ARTICULATORS)))
    ordered_s = np.asarray(times_s, dtype=np.float64)[order]
    first = 0
    while first < len(order):
        last = int(np.searchsorted(ordered_s, ordered_s[first] + _BLOCK_S, side="right"))
        at_s = ordered_s[first:last, None]
        near = (mouths.full_from_s < at_s[-1] + _FELT_S) & (mouths.full_to_s > at_s[0] - _FELT_S)
        tau_s = np.maximum(np.maximum(mouths.full_from_s[near] - at_s, at_s - mouths.full_to_s[near]), 0.0)
        weight = strength[near] * np.exp(-((tau_s[..., None] / reach_s[near]) ** power[near]))
        found[order[first:last]] = (weight * target[near]).sum(axis=1) / weight.sum(axis=1)
        first = last
    return found


def _mouths(phonemes: PhonemeTrack) -> _Mouths:
    """The mouths of all phonemes, and rests before, between and after them."""
    spans: list[tuple[float, float]] = []
    visemes: list[Viseme] = []
    silent_since_s = -np.inf
    starts_s, ends_s = phonemes.start_s.tolist(), phonemes.end_s.tolist()
    for symbol, start_s, end_s in zip(phonemes.symbols, starts_s, ends_s, strict=True):
        if start_s - silent_since_s > _PAUSE_S:
            spans.append(_rest(silent_since_s, start_s))
            visemes.append(REST)
        parts = visemes_of(symbol)
        length_s = (end_s - start_s) / len(parts)
        for number, viseme in enumerate(parts):
            middle_s = start_s + (number + 0.5) * length_s
            spans.append((middle_s - 0.5 * _HELD * length_s, middle_s + 0.5 * _HELD * length_s))
            visemes.append(viseme)
        silent_since_s = end_s
    spans.append(_rest(silent_since_s, np.inf))
    visemes.append(REST)
    edges_s = np.array(spans)
    return _Mouths(edges_s[:, 0], edges_s[:, 1], visemes)


def _rest(start_s: float, end_s: float) -> tuple[float, float]:
    """When a rest is felt in full: it keeps away from the sounds around it, for which the mouth moves early and late."""
    margin_s = min(_REST_MARGIN_S, 0.25 * (end_s - start_s))
    return start_s + margin_s, end_s - margin_s
