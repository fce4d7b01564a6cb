"""What the mouth does for each sound: targets of its articulators, and how strongly each insists on them.

The classes are those of phonetics (place of articulation of consonants, height, backness and rounding of vowels: the International Phonetic
Alphabet); the numbers are ours, set by eye on the open head. The forms of dominance are those of Cohen & Massaro 1993.
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata

import numpy as np
from jaxtyping import Float

from recon.speech.articulation import ARTICULATORS

_VOWELS: dict[str, tuple[float, float, bool]] = {
    "i": (0.0, 0.0, False),
    "y": (0.0, 0.0, True),
    "ɨ": (0.0, 0.5, False),
    "ʉ": (0.0, 0.5, True),
    "ɯ": (0.0, 1.0, False),
    "u": (0.0, 1.0, True),
    "ɪ": (0.15, 0.1, False),
    "ᵻ": (0.15, 0.4, False),
    "ʏ": (0.15, 0.1, True),
    "ʊ": (0.15, 0.9, True),
    "e": (0.33, 0.0, False),
    "ø": (0.33, 0.0, True),
    "ɘ": (0.33, 0.5, False),
    "ɵ": (0.33, 0.5, True),
    "ɤ": (0.33, 1.0, False),
    "o": (0.33, 1.0, True),
    "ə": (0.45, 0.5, False),
    "ɚ": (0.4, 0.5, False),
    "ɛ": (0.6, 0.0, False),
    "œ": (0.6, 0.0, True),
    "ɜ": (0.5, 0.5, False),
    "ɝ": (0.45, 0.5, False),
    "ɞ": (0.6, 0.5, True),
    "ʌ": (0.65, 1.0, False),
    "ɔ": (0.6, 1.0, True),
    "æ": (0.85, 0.0, False),
    "ɐ": (0.75, 0.5, False),
    "a": (1.0, 0.3, False),
    "ɶ": (1.0, 0.0, True),
    "ɑ": (1.0, 1.0, False),
    "ɒ": (0.9, 1.0, True),
}
"""How open (0 to 1), how far back (0 to 1), and whether rounded."""

_CONSONANTS: dict[str, dict[str, float]] = {
    "pbmɓʙ": {"closure": 1.0, "jaw": 0.06},
    "fvɱ": {"tuck": 1.0, "jaw": 0.05},
    "ʋⱱɸβ": {"tuck": 0.4, "jaw": 0.04},
    "wʍɥ": {"pucker": 0.8, "jaw": 0.05, "funnel": 0.13},
    "ʃʒɕʑʂʐ": {"funnel": 0.4, "pucker": 0.3, "jaw": 0.04, "lower": 0.15},
    "sz": {"jaw": 0.03, "spread": 0.2, "lower": 0.35, "upper": 0.2},
    "θð": {"jaw": 0.08, "lower": 0.15, "upper": 0.1},
    "tdʈɖɗ": {"jaw": 0.06, "lower": 0.15, "upper": 0.08},
    "nlɾɬɮrɳɭɫɺɽ": {"jaw": 0.1, "lower": 0.15, "upper": 0.05},
    "ɹɻ": {"jaw": 0.08, "pucker": 0.4, "funnel": 0.15},
    "cɟɲçʝjʎʄ": {"jaw": 0.05, "spread": 0.35, "lower": 0.15, "upper": 0.08},
    "kgɡŋxɣɠɰqɢɴχʁʀħʕhɦʔ": {"jaw": 0.1},
}
_BACK_PLACES = frozenset("kgɡŋxɣɠɰqɢɴχʁʀħʕhɦʔ")
"""Sounds that are made behind the lips: these do what their neighbours want."""


@dataclasses.dataclass(frozen=True, eq=False)
class Viseme:
    """The mouth of one sound. A = the number of articulators.

    Attributes:
        target: ``(A,)`` where each articulator goes.
        dominance: ``(A,)`` how strongly it insists.
        reach_s: ``(A,)`` how far before and after the sound that is felt.
        power: ``(A,)`` of the decay; 1 fades slowly, 2 ends sharply.
    """

    target: Float[np.ndarray, " a"]
    dominance: Float[np.ndarray, " a"]
    reach_s: Float[np.ndarray, " a"]
    power: Float[np.ndarray, " a"]


def _viseme(targets: dict[str, float], dominance: dict[str, float], default: float) -> Viseme:
    target = np.array([targets.get(name, 0.0) for name in ARTICULATORS])
    strength = np.array([dominance.get(name, default) for name in ARTICULATORS])
    # Rounding comes early and fades late; closures are quick and exact.
    reach_s = np.array(
        [{"pucker": 0.09, "funnel": 0.08, "closure": 0.036, "tuck": 0.04}.get(n, 0.06) for n in ARTICULATORS]
    )
    power = np.array([2.0 if name in ("closure", "tuck") else 1.0 for name in ARTICULATORS])
    return Viseme(target, strength, reach_s, power)


REST = _viseme({}, {}, 1.0)
"""Lips shut without effort: silence."""
_UNKNOWN = _viseme({"jaw": 0.08}, {}, 0.2)


def _vowel(openness: float, back: float, rounded: bool) -> Viseme:
    targets = {
        "jaw": (0.05 + 0.31 * openness) * (0.75 if rounded else 1.0),
        "lower": 0.1 if rounded else 0.25 + 0.2 * (1.0 - openness) * (1.0 - back),
        "upper": 0.15 if not rounded else 0.05,
        "spread": 0.0 if rounded else 0.4 * (1.0 - back) * (1.0 - 0.6 * openness),
        "pucker": (0.75 - 0.5 * openness) if rounded else 0.0,
        "funnel": 0.15 + 0.15 * min(1.0, 2.0 * openness) if rounded else 0.0,
    }
    strength = {"jaw": 1.6, **({"pucker": 1.5, "funnel": 1.5} if rounded else {})}
    return _viseme(targets, strength, 1.0)


def _consonant(letter: str, targets: dict[str, float]) -> Viseme:
    if "closure" in targets:
        return _viseme(
            targets, {"closure": 14.0, "jaw": 1.5, "pucker": 0.05, "funnel": 0.3, "spread": 0.05, "tuck": 3.0}, 0.5
        )
    if targets.get("tuck", 0.0) == 1.0:
        return _viseme(targets, {"tuck": 10.0, "jaw": 1.5, "pucker": 0.1, "spread": 0.1, "closure": 3.0}, 0.8)
    if "pucker" in targets:
        return _viseme(targets, {"pucker": 2.0, "funnel": 2.0, "jaw": 0.8}, 0.6)
    if letter in _BACK_PLACES:
        return _viseme(targets, {"jaw": 0.35, "closure": 0.6, "tuck": 0.6}, 0.03)
    return _viseme(targets, {"jaw": 1.2, "pucker": 0.15, "funnel": 0.15, "closure": 1.0, "tuck": 1.0}, 0.6)


@functools.cache
def _letters() -> dict[str, Viseme]:
    table = {letter: _vowel(*place) for letter, place in _VOWELS.items()}
    for letters, targets in _CONSONANTS.items():
        table |= {letter: _consonant(letter, targets) for letter in letters}
    return table


def visemes_of(symbol: str) -> tuple[Viseme, ...]:
    """The mouths of a phoneme, one after the other: two for a diphthong or an affricate.

    Args:
        symbol: in the International Phonetic Alphabet; marks of length, stress and tone are passed over. What has no letter that is
            known moves the lips little.
    """
    found = tuple(_letters()[letter] for letter in _base_letters(symbol) if letter in _letters())
    return found or (_UNKNOWN,)


def known(symbol: str) -> bool:
    """Whether a phoneme has a letter that is known here."""
    return any(letter in _letters() for letter in _base_letters(symbol))


def _base_letters(symbol: str) -> str:
    """Letters and marks apart: a vowel with two dots is a letter with a mark."""
    return unicodedata.normalize("NFD", symbol)
