"""Hears what a mouth does: sound in, ARKit weights out, as a whole or as the sound comes in."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

import recon.networks
from recon.networks.speech_checkpoint import load_speech_network
from recon.networks.speech_network import SpeechNetwork
from recon.speech.articulation import ARTICULATORS, arkit_weights
from recon.speech.features import MelConfig, MelStream
from recon.speech.phonemes import SpeechError
from recon.speech.resample import resampled

DEFAULT_CHECKPOINT = "speech_open.safetensors"
_TINY = 1e-9
_BLOCK_S = 30.0
"""A long sound is heard in parts, so that it takes no more memory than a short one."""


def speech_meaning(mel: MelConfig) -> str:
    """What features and outputs of a speech network mean, to be written beside its weights."""
    return json.dumps({"mel": dataclasses.asdict(mel), "articulators": ARTICULATORS}, sort_keys=True)


def default_speech_checkpoint() -> Path:
    """The network that comes with this package."""
    return Path(next(iter(recon.networks.__path__))) / "weights" / DEFAULT_CHECKPOINT


@functools.lru_cache(maxsize=2)
def _loaded(path: Path, modified: float) -> SpeechNetwork:
    return load_speech_network(path, speech_meaning(MelConfig()))[0].requires_grad_(False)


class SpeechAnimator:
    """The mouth of a voice.

    ``animator(samples, rate_hz)`` hears a whole sound. For sound that comes in, ``push`` takes pieces of any size and gives the frames
    that can be told by then, ``finish`` the rest; the frames are those of the whole sound.

    Args:
        names: ``(M,)`` of the weights to give, ARKit's.
        fps: frames a second; frame k is about the time ``k / fps``.
        checkpoint: of a speech network; ``None`` takes the one that comes with this package.

    Attributes:
        latency_s: how much later than a frame's time the sound has to be known.

    Raises:
        SpeechError: no positive number of frames a second.
        CheckpointError: see :func:`recon.networks.speech_checkpoint.load_speech_network`.
    """

    def __init__(
        self, names: tuple[str, ...], fps: float = 25.0, checkpoint: str | os.PathLike[str] | None = None
    ) -> None:
        if not (np.isfinite(fps) and 1.0 <= fps <= 1000.0):
            raise SpeechError(f"frames a second must lie in 1 to 1000, got {fps}")
        path = Path(checkpoint) if checkpoint is not None else default_speech_checkpoint()
        self.names, self.fps, self.mel = tuple(names), float(fps), MelConfig()
        self.network = _loaded(path, path.stat().st_mtime if path.is_file() else 0.0)
        late = self.network.config.lookahead
        # The feature after a frame's time, what the network waits for, and half a window.
        self.latency_s = (late + 1) / self.mel.features_per_s + 0.5 * self.mel.window / self.mel.rate_hz
        self._restart()

    def _restart(self) -> None:
        self._stream = MelStream(self.mel)
        self._state = self.network.initial_state()
        self._curve = np.zeros((0, len(ARTICULATORS)))
        self._curve_start = 0
        """Number of the feature that the first row of the curve is about; rows that no frame needs any more are dropped."""
        self._answers, self._frames, self._samples = 0, 0, 0

    def __call__(self, samples: Float[np.ndarray, " n"], rate_hz: int) -> Float[np.ndarray, "t m"]:
        """Weights of all frames of a sound; a stream that is under way is not touched.

        Args:
            samples: ``(N,)`` in [-1, 1].
            rate_hz: samples a second.

        Raises:
            SpeechError: no samples, or samples that are no numbers.
        """
        heard = resampled(samples, rate_hz, self.mel.rate_hz)
        if len(heard) == 0:
            raise SpeechError("there is no sound: it has no samples")
        other = copy.copy(self)
        other._restart()
        step = round(_BLOCK_S * self.mel.rate_hz)
        parts = [other.push(heard[start : start + step]) for start in range(0, len(heard), step)]
        return np.concatenate([*parts, other.finish()])

    def push(self, samples: Float[np.ndarray, " n"]) -> Float[np.ndarray, "t m"]:
        """The frames that a piece of sound completes.

        Args:
            samples: ``(N,)`` in [-1, 1], 16 000 a second, going on where the piece before ended.

        Raises:
            SpeechError: samples that are no numbers.
        """
        features = self._stream.push(torch.from_numpy(np.asarray(samples, dtype=np.float32)))
        self._samples += len(samples)
        self._hear(features)
        known = self._curve_start + len(self._curve)
        # A frame is told when the feature after it is.
        return self._take_frames(math.floor((known - 1) / self.mel.features_per_s * self.fps + _TINY) + 1)

    def finish(self) -> Float[np.ndarray, "t m"]:
        """The frames that are left, as if silence followed; then the animator is ready for another sound."""
        silence = torch.zeros((self.network.config.lookahead + 2) * self.mel.hop)
        self._hear(torch.cat((self._stream.push(silence), self._stream.finish())))
        found = self._take_frames(self._frames_in_sound())
        self._restart()
        return found

    def _frames_in_sound(self) -> int:
        """How many begin before the sound that is known by now ends."""
        return math.ceil(self._samples / self.mel.rate_hz * self.fps - _TINY)

    @torch.no_grad()
    def _hear(self, features: Float[torch.Tensor, "n bands"]) -> None:
        """Go on with the curve."""
        if len(features) == 0:
            return
        logits, self._state = self.network.step(features[None], self._state)
        told = torch.sigmoid(logits[0]).double().numpy()
        # The first answers are about times before the sound.
        before = min(len(told), max(0, self.network.config.lookahead - self._answers))
        self._answers += len(told)
        self._curve = np.concatenate([self._curve, told[before:]])

    def _take_frames(self, end: int) -> Float[np.ndarray, "t m"]:
        """Frames up to a number, each between its two features."""
        numbers = np.arange(self._frames, max(self._frames, min(end, self._frames_in_sound())))
        at = numbers / self.fps * self.mel.features_per_s - self._curve_start
        rows = np.arange(len(self._curve))
        mouth = np.zeros((len(numbers), len(ARTICULATORS)))
        for k in range(len(ARTICULATORS)) if len(numbers) else ():
            mouth[:, k] = np.interp(at, rows, self._curve[:, k])
        self._frames += len(numbers)
        needed_from = math.floor(self._frames / self.fps * self.mel.features_per_s)
        dropped = min(len(self._curve), max(0, needed_from - self._curve_start))
        self._curve, self._curve_start = self._curve[dropped:], self._curve_start + dropped
        return arkit_weights(mouth, self.names)
