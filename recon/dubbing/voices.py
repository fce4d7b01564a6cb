"""What an editor hears of a voice for each frame: log-mel spectrum, or what the speech network hears a mouth do in it."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from recon.dubbing.clips import RATE_HZ, FaceClip
from recon.networks.diffusion.editor_network import Voice
from recon.networks.speech_checkpoint import load_speech_network
from recon.networks.speech_network import SpeechNetwork
from recon.speech.animator import default_speech_checkpoint, speech_meaning
from recon.speech.features import MelConfig, log_mel

_MEL = MelConfig()
_LOUDEST = 4.0
"""Features of the log-mel spectrum are divided by it, so that they are about 1."""
_AROUND_S = 0.5
"""Silence that is heard before and after a sound."""


def voice_meaning(voice: Voice) -> str:
    """What the numbers of a voice mean, to be written beside the weights of an editor that was trained with them."""
    if voice == "mel":
        return json.dumps({"voice": "mel", "mel": dataclasses.asdict(_MEL)}, sort_keys=True)
    path = default_speech_checkpoint()
    return json.dumps({"voice": "articulators", "heard": speech_meaning(_MEL), "by": path.name}, sort_keys=True)


@torch.no_grad()
def heard_voice(sound: Int[np.ndarray, " n"], voice: Voice) -> Float[np.ndarray, "m bands"]:
    """The numbers of a voice, 50 a second from :data:`_AROUND_S` before the sound to as long after it.

    Args:
        sound: 16-bit samples at :data:`recon.dubbing.clips.RATE_HZ`.
        voice: which numbers.
    """
    around = np.zeros(round(_AROUND_S * RATE_HZ), dtype=np.float32)
    samples = torch.from_numpy(np.concatenate([around, sound.astype(np.float32) / 32768.0, around]))
    if voice == "mel":
        return (log_mel(samples, _MEL) / _LOUDEST).numpy()
    network = _speech_network(default_speech_checkpoint())
    late = network.config.lookahead
    silence = torch.zeros(late * _MEL.hop)
    return network(log_mel(torch.cat((samples, silence)), _MEL)[None])[0, late:].numpy()


def at_frames(
    heard: Float[np.ndarray, "m bands"], times_s: Float[np.ndarray, " t"], window: int
) -> Float[np.ndarray, "t window bands"]:
    """The numbers about the times of frames; silence lasts for ever before and after.

    Args:
        heard: see :func:`heard_voice`.
        times_s: ``(T,)`` of the frames in the sound.
        window: numbers' times for a frame; the frame's is the middle one.
    """
    middle = np.rint((np.asarray(times_s) + _AROUND_S) * _MEL.features_per_s).astype(int)
    rows = middle[:, None] + np.arange(window) - window // 2
    return heard[np.clip(rows, 0, len(heard) - 1)]


def features_of(clip: FaceClip) -> Float[np.ndarray, "m bands"]:
    """The mel features for all frames of a clip, two a frame: row ``2 k`` is at the time of frame k."""
    times_s = np.arange(2 * len(clip)) / (2.0 * clip.fps)
    return at_frames(heard_voice(clip.sound, "mel"), times_s, 1)[:, 0]


@functools.lru_cache(maxsize=1)
def _speech_network(path: Path) -> SpeechNetwork:
    return load_speech_network(path, speech_meaning(_MEL))[0].requires_grad_(False)
