"""Log-mel features of speech: one every 20 ms, each from 40 ms of sound (the audio features of the thesis' chapter 6.1)."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.speech.phonemes import SpeechError


@dataclasses.dataclass(frozen=True)
class MelConfig:
    """How sound is looked at. Defaults are the thesis'.

    Attributes:
        rate_hz: samples a second.
        n_fft: length of the Fourier transform.
        window: samples that a feature is made of, weighted by Hann's window.
        hop: samples from one feature to the next.
        bands: of the mel scale, from 0 to half of ``rate_hz``.
        floor: power below which nothing is told apart, of a scale on which a sine of full amplitude has about ``(window / 4)^2``.

    Raises:
        ValueError: an impossible value, named.
    """

    rate_hz: int = 16_000
    n_fft: int = 2048
    window: int = 640
    hop: int = 320
    bands: int = 256
    floor: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("rate_hz", "n_fft", "window", "hop", "bands"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= 1 << 20:
                raise ValueError(f"{name} must be a whole number from 1 to {1 << 20}, got {str(value)[:40]!r}")
        if self.window > self.n_fft or self.hop > self.window:
            raise ValueError(f"hop, window and n_fft must not fall, got {self.hop}, {self.window} and {self.n_fft}")
        if not self.floor > 0.0:
            raise ValueError(f"floor must be positive, got {self.floor}")

    @property
    def features_per_s(self) -> float:
        """Features a second."""
        return self.rate_hz / self.hop


def mel_filters(config: MelConfig) -> Float[Tensor, "f bands"]:
    """Triangular filters ``(n_fft / 2 + 1, bands)`` of height 1, evenly spaced in mel, ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987).

    Low bands are narrower than the Fourier transform's step; each still takes in the two nearest of its values.
    """
    n = config.n_fft // 2 + 1
    frequencies_hz = np.linspace(0.0, 0.5 * config.rate_hz, n)
    step_hz = config.rate_hz / config.n_fft
    edges_mel = np.linspace(0.0, 2595.0 * np.log10(1.0 + 0.5 * config.rate_hz / 700.0), config.bands + 2)
    edges_hz = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    middle = edges_hz[1:-1]
    below = np.maximum(middle - edges_hz[:-2], step_hz)
    above = np.maximum(edges_hz[2:] - middle, step_hz)
    rising = 1.0 - (middle - frequencies_hz[:, None]) / below
    falling = 1.0 - (frequencies_hz[:, None] - middle) / above
    return torch.from_numpy(np.maximum(np.minimum(rising, falling), 0.0)).float()


@functools.lru_cache(maxsize=4)
def _tables(config: MelConfig) -> tuple[Tensor, Tensor]:
    return torch.hann_window(config.window), mel_filters(config)


def log_mel_of_frames(frames: Float[Tensor, "... n w"], config: MelConfig) -> Float[Tensor, "... n bands"]:
    """Natural logarithms of band powers of pieces of sound, ``window`` samples each."""
    window, filters = _tables(config)
    spectrum = torch.fft.rfft(frames * window, n=config.n_fft)
    return torch.log(spectrum.real.square().add(spectrum.imag.square()) @ filters + config.floor)


def log_mel(samples: Float[Tensor, "... s"], config: MelConfig) -> Float[Tensor, "... n bands"]:
    """Features of a whole sound, around which is silence.

    Args:
        samples: in [-1, 1] at ``config.rate_hz``; leading dimensions are a batch.

    Returns:
        ``N = ceil(S / hop)`` features; feature k is about the time ``k hop / rate_hz``, its window lies half before and half after.
    """
    n = -(-samples.shape[-1] // config.hop)
    before = config.window // 2
    after = (n - 1) * config.hop + config.window - before - samples.shape[-1]
    padded = torch.nn.functional.pad(samples, (before, after))  # a negative number of samples is cut off
    return log_mel_of_frames(padded.unfold(-1, config.window, config.hop), config)


class MelStream:
    """Features of a sound that comes in pieces: the same as of the whole.

    Args:
        config: of the features.
    """

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        self._kept = torch.zeros(config.window // 2)
        self._seen, self._given = 0, 0

    def push(self, samples: Float[Tensor, " s"]) -> Float[Tensor, "n bands"]:
        """The features that a piece completes.

        Raises:
            SpeechError: samples that are no finite numbers.
        """
        if not bool(torch.isfinite(samples).all()):
            raise SpeechError("the sound holds samples that are no numbers")
        self._seen += len(samples)
        return self._take(torch.cat((self._kept, samples.float())))

    def finish(self) -> Float[Tensor, "n bands"]:
        """The features that are left, as if silence followed; the stream then starts anew."""
        config = self.config
        left = -(-self._seen // config.hop) - self._given
        needed = max(0, (left - 1) * config.hop + config.window) if left else 0
        padded = torch.nn.functional.pad(self._kept, (0, max(0, needed - len(self._kept))))[:needed]
        found = self._take(padded)
        self._kept, self._seen, self._given = torch.zeros(config.window // 2), 0, 0
        return found

    def _take(self, waiting: Float[Tensor, " s"]) -> Float[Tensor, "n bands"]:
        config = self.config
        n = max(0, (len(waiting) - config.window) // config.hop + 1)
        self._kept = waiting[n * config.hop :]
        self._given += n
        if n == 0:
            return torch.zeros(0, config.bands)
        return log_mel_of_frames(
            waiting[: (n - 1) * config.hop + config.window].unfold(0, config.window, config.hop), config
        )
