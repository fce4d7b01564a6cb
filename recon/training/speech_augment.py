"""Rooms, microphones and noise for synthetic speech, so that a voice from the world is nothing new."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class SpeechAugmentation:
    """What happens to a sound before it is heard. Shares are of sounds.

    Attributes:
        tempo: least and most factor on its length; its pitch and formants change with it, as on a tape.
        gain_db: least and most.
        equaliser_db: standard deviation of a smooth curve over frequency.
        telephone: share that loses what lies above 2.8 to 5 kHz.
        reverberation: share that sounds in a room.
        decay_s: least and most time in which a room's sound fades by 60 dB.
        noise: share that has noise.
        snr_db: least and most ratio of speech to noise.
        babble: share of noises that are other speech, backwards.
        clipping: share that is clipped.

    Raises:
        ValueError: a share outside of [0, 1], or a range that goes back.
    """

    tempo: tuple[float, float] = (0.85, 1.2)
    gain_db: tuple[float, float] = (-28.0, 4.0)
    equaliser_db: float = 5.0
    telephone: float = 0.15
    reverberation: float = 0.5
    decay_s: tuple[float, float] = (0.1, 0.6)
    noise: float = 0.8
    snr_db: tuple[float, float] = (5.0, 45.0)
    babble: float = 0.1
    clipping: float = 0.05

    def __post_init__(self) -> None:
        for name in ("telephone", "reverberation", "noise", "babble", "clipping"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("tempo", "gain_db", "decay_s", "snr_db"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name} must not fall, got {low} to {high}")
        if self.tempo[0] <= 0.0 or self.decay_s[0] <= 0.0:
            raise ValueError("tempo and decay_s must be positive")


def played_slower(samples: Float[np.ndarray, " n"], factor: float) -> Float[np.ndarray, " m"]:
    """A sound ``factor`` times as long, straight between its samples: the treble that this costs is no loss here."""
    n = max(1, round(len(samples) * factor))
    return np.interp(np.arange(n) / factor, np.arange(len(samples)), samples)


def heard(
    samples: Float[np.ndarray, " n"],
    rate_hz: int,
    config: SpeechAugmentation,
    random: np.random.Generator,
    other: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " n"]:
    """A sound as a microphone in a room has it; no time passes between the two.

    Args:
        samples: of speech.
        rate_hz: of it.
        config: what happens.
        random: where it is drawn from.
        other: speech of another sentence.
    """
    n = len(samples)
    length = 1 << int(n + 0.7 * rate_hz - 1).bit_length()  # a power of two, with room for what sounds after the end
    frequencies_hz = np.fft.rfftfreq(length, 1.0 / rate_hz)
    response = _equaliser(frequencies_hz, config, random)
    if random.random() < config.reverberation:
        response = response * np.fft.rfft(_room(rate_hz, config, random), length)
    sound = np.fft.irfft(np.fft.rfft(samples, length) * response, length)[:n]
    if random.random() < config.noise:
        noise = _noise(n, rate_hz, config, random, other)
        ratio = 10.0 ** (random.uniform(*config.snr_db) / 20.0)
        sound = sound + noise * (_level(sound) / (ratio * max(_level(noise), 1e-9)))
    peak = max(float(np.abs(sound).max(initial=0.0)), 1e-6)
    sound = sound / peak
    if random.random() < config.clipping:
        limit = random.uniform(0.2, 0.9)
        sound = np.clip(sound, -limit, limit)
    return np.clip(sound * 10.0 ** (random.uniform(*config.gain_db) / 20.0), -1.0, 1.0)


def _level(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0


def _equaliser(frequencies_hz: np.ndarray, config: SpeechAugmentation, random: np.random.Generator) -> np.ndarray:
    knots_hz = np.array([0.0, 80.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 1e6])
    gain_db = np.interp(frequencies_hz, knots_hz, config.equaliser_db * random.standard_normal(len(knots_hz)))
    if random.random() < config.telephone:
        edge_hz = random.uniform(2800.0, 5000.0)
        gain_db = gain_db - 50.0 / (1.0 + np.exp(-(frequencies_hz - edge_hz) / 100.0))
    return 10.0 ** (gain_db / 20.0)


def _room(rate_hz: int, config: SpeechAugmentation, random: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound, and noise that fades exponentially (Polack's model of late reverberation)."""
    decay_s = random.uniform(*config.decay_s)
    time_s = np.arange(round(decay_s * rate_hz)) / rate_hz
    tail = random.standard_normal(len(time_s)) * 10.0 ** (-3.0 * time_s / decay_s)
    tail[: round(0.002 * rate_hz)] = 0.0
    direct = 10.0 ** (random.uniform(-3.0, 12.0) / 20.0)
    response = tail / max(float(np.linalg.norm(tail)), 1e-9)
    response[0] = direct
    return response / np.hypot(direct, 1.0)


def _noise(
    n: int, rate_hz: int, config: SpeechAugmentation, random: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    if random.random() < config.babble and len(other):
        return np.resize(other[::-1], n)
    frequencies_hz = np.fft.rfftfreq(n, 1.0 / rate_hz)
    slope = random.uniform(0.0, 1.3)
    spectrum = np.fft.rfft(random.standard_normal(n)) * (np.maximum(frequencies_hz, 30.0) / 1000.0) ** -slope
    return np.fft.irfft(spectrum, n)
