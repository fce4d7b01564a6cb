"""Phonemes and sounds made by hand."""

from __future__ import annotations

import numpy as np

from recon.speech.phonemes import PhonemeTrack

RATE_HZ = 16_000


def track(*parts: tuple[str, float], start_s: float = 0.5) -> PhonemeTrack:
    """Phonemes with their lengths, one after the other; an empty symbol is a pause."""
    edges = start_s + np.cumsum([0.0, *(length for _, length in parts)])
    kept = [k for k, (symbol, _) in enumerate(parts) if symbol]
    return PhonemeTrack(tuple(parts[k][0] for k in kept), edges[kept], edges[[k + 1 for k in kept]])


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that sounds: a tone with overtones whose loudness changes, and a little noise."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2.0 * np.pi * 120.0 * k * time_s) / k for k in range(1, 12))
    return 0.2 * tone * np.abs(np.sin(4.0 * time_s)) + 0.01 * random.standard_normal(len(time_s))
