"""How light skin is: CIELAB lightness, and the nearest of the ten tones of the Monk scale (Monk 2019)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from skimage.color import rgb2lab

MONK_SRGB = (
    *("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96"),
    *("a07e56", "825c43", "604134", "3a312a", "292420"),
)
"""The published tones, lightest first."""
_MONK_LAB = rgb2lab(np.array([[int(tone[k : k + 2], 16) / 255.0 for k in (0, 2, 4)] for tone in MONK_SRGB])[None])[0]


def skin_lab(srgb: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " 3"]:
    """CIELAB (D65) of the median colour of some sRGB code values in [0, 1]: lightness 0 to 100, then green to red, blue to yellow."""
    return np.asarray(rgb2lab(np.median(srgb, axis=0)[None, None])[0, 0])


def monk_tone(lab: Float[np.ndarray, " 3"]) -> int:
    """The nearest tone in CIELAB, 1 (lightest) to 10."""
    return 1 + int(np.linalg.norm(_MONK_LAB - lab, axis=1).argmin())
