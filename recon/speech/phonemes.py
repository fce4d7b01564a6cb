"""Phonemes of an utterance with their times."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

BILABIAL = frozenset("pbmɓʙ")
"""Letters of the International Phonetic Alphabet for sounds that shut the lips."""


class SpeechError(ValueError):
    """Speech that cannot be made or used, and why."""


@dataclasses.dataclass(frozen=True, eq=False)
class PhonemeTrack:
    """N phonemes, one after the other; between them and around them is silence.

    Attributes:
        symbols: ``(N,)`` in the International Phonetic Alphabet; an affricate or a diphthong is one symbol of several letters.
        start_s, end_s: ``(N,)`` times; no phoneme begins before the one before ends.

    Raises:
        SpeechError: other shapes, times that go back, or that are no numbers.
    """

    symbols: tuple[str, ...]
    start_s: Float[np.ndarray, " n"]
    end_s: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        n = len(self.symbols)
        if self.start_s.shape != (n,) or self.end_s.shape != (n,):
            raise SpeechError(
                f"{n} phonemes need as many start and end times, got {self.start_s.shape} and {self.end_s.shape}"
            )
        times_s = np.stack([self.start_s, self.end_s], axis=1).ravel()
        if not np.isfinite(times_s).all() or (np.diff(times_s) < 0.0).any():
            raise SpeechError("the times of phonemes must be finite numbers that do not go back")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def bilabial(self) -> np.ndarray:
        """``(N,)`` bool: which of them shut the lips."""
        return np.array([bool(BILABIAL & set(symbol)) for symbol in self.symbols], dtype=bool)

    def scaled(self, factor: float) -> PhonemeTrack:
        """With all times multiplied: of speech that is played more slowly."""
        return PhonemeTrack(self.symbols, self.start_s * factor, self.end_s * factor)
