"""Reading sound: WAV files by themselves, whatever else FFmpeg reads through PyAV (the extra ``video``)."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.io.names import printable

_CLIPPED_SHARE = 1e-3
_FULL_SCALE = 0.999
MAX_SECONDS = 3600.0
"""Longer sounds are refused: they would not fit into memory as numbers."""


class AudioError(ValueError):
    """A sound that cannot be read or used, and why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One channel of sound.

    Attributes:
        samples: ``(N,)`` in [-1, 1].
        rate_hz: samples a second.
        notes: what is wrong with it that still can be used.
    """

    samples: Float[np.ndarray, " n"]
    rate_hz: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.samples) / self.rate_hz


def read_audio(path: str | os.PathLike[str]) -> Recording:
    """The sound of a file, of a video too, its channels averaged.

    Raises:
        AudioError: no such file, no sound in it, a sound that is empty, too long, damaged, or has values that are no numbers.
        ModuleNotFoundError: no WAV file, and PyAV is not installed.
    """
    place = Path(path)
    if not place.is_file():
        raise AudioError(f"no such sound: {printable(place)}")
    with place.open("rb") as file:
        start = file.read(12)
    is_wave = start[:4] in (b"RIFF", b"RIFX") and start[8:12] == b"WAVE"
    values, rate_hz = _read_wave(place) if is_wave else _read_by_ffmpeg(place)
    return recording(values, rate_hz, printable(place))


def recording(values: np.ndarray, rate_hz: int, name: str = "the sound") -> Recording:
    """Samples ``(N,)`` or ``(N, C)`` of any channels, floating in [-1, 1], checked and averaged to one.

    Raises:
        AudioError: see :func:`read_audio`.
    """
    if rate_hz < 1:
        raise AudioError(f"{name} has {rate_hz} samples a second")
    if values.ndim not in (1, 2) or values.size == 0:
        raise AudioError(f"{name} is empty: it has no samples")
    if len(values) > MAX_SECONDS * rate_hz:
        raise AudioError(f"{name} takes {len(values) / rate_hz:.0f} s, more than {MAX_SECONDS:.0f} s; cut it")
    if not np.isfinite(values).all():
        raise AudioError(f"{name} has samples that are no numbers")
    notes = []
    if float(np.mean(np.abs(values) >= _FULL_SCALE)) > _CLIPPED_SHARE:
        notes.append(f"{name} is clipped: loud parts are cut off, and mouths may open too little there")
    mono = values if values.ndim == 1 else values.mean(axis=1)
    return Recording(np.clip(mono.astype(np.float64), -1.0, 1.0), int(rate_hz), tuple(notes))


def _read_wave(path: Path) -> tuple[np.ndarray, int]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", wavfile.WavFileWarning
            )  # chunks that it does not know, ends that are missing
            rate_hz, stored = wavfile.read(path)
    # What its parser raises for damaged files is not told: struct.error, ValueError, MemoryError, EOFError and others.
    except Exception as error:
        raise AudioError(f"{printable(path)} is a damaged WAV file: {error}") from error
    if stored.dtype == np.uint8:
        return (stored.astype(np.float64) - 128.0) / 128.0, rate_hz
    if np.issubdtype(stored.dtype, np.signedinteger):
        return stored.astype(np.float64) / -float(np.iinfo(stored.dtype).min), rate_hz
    return stored.astype(np.float64), rate_hz


def _read_by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    import av

    try:
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise AudioError(f"{printable(path)} has no sound")
            stream = container.streams.audio[0]
            rate_hz = int(stream.rate or 0)
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate_hz)
            parts: list[np.ndarray] = []
            n = 0
            for frame in container.decode(stream):
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                n += len(parts[-1]) if parts else 0
                if n > MAX_SECONDS * rate_hz:
                    break
            parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, OSError) as error:
        raise AudioError(f"{printable(path)} cannot be read as sound: {error}") from error
    return np.concatenate(parts) if parts else np.zeros(0), rate_hz
