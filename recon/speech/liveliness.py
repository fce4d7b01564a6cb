"""What heads do beside the mouth while they speak: lids blink, and the head sways and nods with the voice."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

_BLINK_EVERY_S = 3.4
"""About 18 blinks a minute, as in conversation (Bentivoglio et al. 1997: 26 in conversation, 17 at rest)."""
_LEAST_GAP_S = 0.6
_CLOSING_S, _OPENING_S = 0.09, 0.18
_SWAY_DEG = (1.4, 2.2, 1.1)
"""Root mean square of pitch, yaw and roll."""
_SWAY_HZ = (0.08, 0.45)
_WAVES = 3
_NOD_DEG = 2.0
"""How far the head goes down with a voice that is one standard deviation louder than its mean."""
_NOD_S = 0.16


@dataclasses.dataclass(frozen=True, eq=False)
class Liveliness:
    """T frames.

    Attributes:
        blink: ``(T,)`` weight of shut lids in [0, 1].
        rotation: ``(T, 3, 3)`` of the head about its own rest; columns are its axes.
    """

    blink: Float[np.ndarray, " t"]
    rotation: Float[np.ndarray, "t 3 3"]


def liveliness(loudness: Float[np.ndarray, " t"], fps: float, seed: int = 0, strength: float = 1.0) -> Liveliness:
    """Blinks and a head that moves slightly; the same for the same seed.

    Args:
        loudness: ``(T,)`` of the voice in each frame, any scale.
        fps: frames a second.
        seed: of all choices.
        strength: factor on the head's motion; 0 holds it still.
    """
    random = np.random.default_rng(seed)
    times_s = np.arange(len(loudness)) / fps
    return Liveliness(blinks(times_s, random), _turns(times_s, loudness, fps, random, strength))


def blinks(times_s: Float[np.ndarray, " t"], random: np.random.Generator) -> Float[np.ndarray, " t"]:
    """Weight of shut lids at rising times: they close faster than they open, and at times that follow an exponential law."""
    weight = np.zeros(len(times_s))
    at_s = float(random.uniform(0.3, _BLINK_EVERY_S))
    while len(times_s) and at_s < times_s[-1] + _CLOSING_S:
        closing = np.clip((times_s - at_s) / _CLOSING_S + 1.0, 0.0, 1.0)
        opening = np.clip(1.0 - (times_s - at_s) / _OPENING_S, 0.0, 1.0)
        weight = np.maximum(weight, np.sin(0.5 * np.pi * np.minimum(closing, opening)) ** 2)
        at_s += _LEAST_GAP_S + float(random.exponential(_BLINK_EVERY_S - _LEAST_GAP_S))
    return weight


def frame_loudness(samples: Float[np.ndarray, " n"], rate_hz: int, fps: float, count: int) -> Float[np.ndarray, " t"]:
    """Root mean square of the samples of each frame; frames after the end are silent."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples))])
    edges = np.clip(np.round(np.arange(count + 1) / fps * rate_hz).astype(int), 0, len(samples))
    return np.sqrt(np.maximum(np.diff(energy[edges]), 0.0) / np.maximum(np.diff(edges), 1))


def _turns(
    times_s: Float[np.ndarray, " t"],
    loudness: Float[np.ndarray, " t"],
    fps: float,
    random: np.random.Generator,
    strength: float,
) -> Float[np.ndarray, "t 3 3"]:
    hertz = random.uniform(*_SWAY_HZ, size=(_WAVES, 3))
    phase = random.uniform(0.0, 2.0 * np.pi, size=(_WAVES, 3))
    waves = np.sin(2.0 * np.pi * hertz * times_s[:, None, None] + phase).sum(axis=1) / np.sqrt(0.5 * _WAVES)
    turns_deg = waves * np.array(_SWAY_DEG)
    if len(loudness):
        smooth = gaussian_filter1d(np.sqrt(loudness), _NOD_S * fps, mode="nearest")
        turns_deg[:, 0] += (
            _NOD_DEG * (smooth - smooth.mean()) / max(float(smooth.std()), 1e-6 + 0.1 * float(smooth.max()))
        )
    matrices = Rotation.from_euler("xyz", strength * turns_deg, degrees=True).as_matrix()
    return np.asarray(matrices).reshape(-1, 3, 3)
