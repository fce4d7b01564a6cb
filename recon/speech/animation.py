"""The animation of a voice: all weights of a face with blinks, and the head's motion."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from jaxtyping import Float

from recon.io.audio import Recording
from recon.speech.animator import SpeechAnimator
from recon.speech.articulation import SPOKEN_WEIGHTS
from recon.speech.liveliness import frame_loudness, liveliness

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
DRIVEN_WEIGHTS = (*SPOKEN_WEIGHTS, *LIDS)
"""What an animation takes over from a face's own expression."""
PROVENANCE = "Synthetic speech animation made with facerecon; no recording of a person's movements."
"""Goes into the metadata of everything that is made from a voice."""


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechAnimation:
    """T frames of a face that speaks.

    Attributes:
        names: ``(M,)`` ARKit's names of the weights.
        fps: frames a second; frame k is shown at ``k / fps``.
        weights: ``(T, M)`` in [0, 1].
        rotation: ``(T, 3, 3)`` of the head about its own rest.
    """

    names: tuple[str, ...]
    fps: float
    weights: Float[np.ndarray, "t m"]
    rotation: Float[np.ndarray, "t 3 3"]

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def time_s(self) -> Float[np.ndarray, " t"]:
        """When each frame is shown."""
        return np.arange(len(self)) / self.fps


@dataclasses.dataclass(frozen=True)
class SpeechAnimationSettings:
    """How a voice is shown.

    Attributes:
        fps: frames a second.
        seed: of blinks and of the head's motion.
        head_motion: factor on the latter; 0 holds the head still.
        blinks: whether lids blink.
        checkpoint: of a speech network; ``None`` takes the package's.

    Raises:
        ValueError: a negative seed or motion.
    """

    fps: float = 30.0
    seed: int = 0
    head_motion: float = 1.0
    blinks: bool = True
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.seed < 0 or not (np.isfinite(self.head_motion) and self.head_motion >= 0.0):
            raise ValueError(f"seed and head_motion must be at least 0, got {self.seed} and {self.head_motion}")


def animate_speech(
    sound: Recording, names: tuple[str, ...], settings: SpeechAnimationSettings | None = None
) -> SpeechAnimation:
    """The face of a voice.

    Args:
        sound: at any rate.
        names: of the weights to give, ARKit's; those that speech does not move are 0.
        settings: how it is shown.

    Raises:
        SpeechError, CheckpointError: see :class:`recon.speech.animator.SpeechAnimator`.
    """
    chosen = settings or SpeechAnimationSettings()
    weights = SpeechAnimator(names, chosen.fps, chosen.checkpoint)(sound.samples, sound.rate_hz)
    return enlivened(weights, names, sound, chosen)


def enlivened(
    mouth: Float[np.ndarray, "t m"], names: tuple[str, ...], sound: Recording, settings: SpeechAnimationSettings
) -> SpeechAnimation:
    """A mouth's weights with blinks and the head's motion added."""
    loudness = frame_loudness(sound.samples, sound.rate_hz, settings.fps, len(mouth))
    life = liveliness(loudness, settings.fps, settings.seed, settings.head_motion)
    weights = mouth.copy()
    for name in LIDS if settings.blinks else ():
        if name in names:
            weights[:, names.index(name)] = life.blink
    return SpeechAnimation(names, settings.fps, weights, life.rotation)
