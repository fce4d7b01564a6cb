"""The animator: frames of a whole sound and of a stream, rates, silence, and what it refuses."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from speech_sounds import RATE_HZ, voice

from bfm.open.expression import ARKIT_NAMES
from recon.io.audio import recording
from recon.networks.network_file import CheckpointError
from recon.networks.speech_checkpoint import load_speech_network, save_speech_network
from recon.speech import animator as module
from recon.speech.animation import LIDS, SpeechAnimationSettings, animate_speech
from recon.speech.animator import SpeechAnimator, default_speech_checkpoint, speech_meaning
from recon.speech.articulation import ARTICULATORS, arkit_weights
from recon.speech.features import MelConfig, log_mel
from recon.speech.phonemes import SpeechError


def animator_reference(checkpoint: Path, samples: np.ndarray, fps: float) -> np.ndarray:
    """Frames by one pass over the whole sound."""
    network, _ = load_speech_network(checkpoint, speech_meaning(MelConfig()))
    late = network.config.lookahead
    padded = torch.nn.functional.pad(torch.from_numpy(samples).float(), (0, 320 * (late + 2)))
    with torch.no_grad():
        curve = network(log_mel(padded, MelConfig())[None])[0, late:].double().numpy()
    times_s = np.arange(int(np.ceil(len(samples) / RATE_HZ * fps - 1e-9))) / fps
    mouth = [np.interp(times_s * 50.0, np.arange(len(curve)), curve[:, k]) for k in range(len(ARTICULATORS))]
    return arkit_weights(np.stack(mouth, axis=1), ARKIT_NAMES)


@pytest.mark.parametrize("fps", [25.0, 29.97, 30.0, 60.0])
def test_frames_are_those_of_one_pass(speech_checkpoint: Path, fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = voice(1.37)
    wanted = animator_reference(speech_checkpoint, samples, fps)
    assert wanted.std(axis=0).max() > 0.01
    found = SpeechAnimator(ARKIT_NAMES, fps, speech_checkpoint)(samples, RATE_HZ)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    monkeypatch.setattr(module, "_BLOCK_S", 0.29)
    np.testing.assert_allclose(SpeechAnimator(ARKIT_NAMES, fps, speech_checkpoint)(samples, RATE_HZ), wanted, atol=1e-5)


def test_pieces_of_any_size_give_the_same_frames(speech_checkpoint: Path) -> None:
    samples, random = voice(1.1), np.random.default_rng(2)
    animator = SpeechAnimator(ARKIT_NAMES, 30.0, speech_checkpoint)
    whole = animator(samples, RATE_HZ)
    for largest in (200, 900, 5000):  # twice with one animator: finish leaves it ready
        parts, at = [], 0
        while at < len(samples):
            size = int(random.integers(0, largest))
            parts.append(animator.push(samples[at : at + size]))
            at += size
        parts.append(animator.finish())
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_a_frame_is_told_as_soon_as_it_is_promised(speech_checkpoint: Path) -> None:
    animator = SpeechAnimator(ARKIT_NAMES, 25.0, speech_checkpoint)
    told, waited_s = 0, 0.0
    for k, piece in enumerate(np.split(voice(1.0), 100)):
        told += len(animator.push(piece))
        waited_s = max(waited_s, (k + 1) / 100 - told / 25.0)
    assert waited_s <= animator.latency_s + 1e-9 and told > 15


def test_what_comes_later_does_not_change_what_was_told(speech_checkpoint: Path) -> None:
    animator = SpeechAnimator(ARKIT_NAMES, 25.0, speech_checkpoint)
    first = voice(0.6)
    quiet, loud = (np.concatenate([first, rest]) for rest in (np.zeros(8000), voice(0.5, seed=3)))
    early = int((0.6 - animator.latency_s) * 25.0)
    a, b = animator(quiet, RATE_HZ), animator(loud, RATE_HZ)
    np.testing.assert_allclose(a[:early], b[:early], atol=1e-6)
    assert float(np.abs(a[early + 5 :] - b[early + 5 :]).max()) > 1e-3


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000])
def test_other_rates_sound_alike(speech_checkpoint: Path, rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    tone = 0.3 * np.sin(2.0 * np.pi * 440.0 * time_s) * np.sin(3.0 * time_s)
    found = SpeechAnimator(ARKIT_NAMES, 30.0, speech_checkpoint)(tone, rate_hz)
    at_16 = np.arange(RATE_HZ) / RATE_HZ
    wanted = SpeechAnimator(ARKIT_NAMES, 30.0, speech_checkpoint)(
        0.3 * np.sin(2.0 * np.pi * 440.0 * at_16) * np.sin(3.0 * at_16), RATE_HZ
    )
    assert found.shape == wanted.shape == (30, 52)
    assert float(np.abs(found - wanted).mean()) < 0.02


def test_sound_that_is_none(speech_checkpoint: Path) -> None:
    animator = SpeechAnimator(ARKIT_NAMES, 25.0, speech_checkpoint)
    with pytest.raises(SpeechError, match="no samples"):
        animator(np.zeros(0), RATE_HZ)
    with pytest.raises(SpeechError, match="no numbers"):
        animator(np.full(4000, np.nan), RATE_HZ)
    assert animator(np.zeros(1), RATE_HZ).shape == (1, 52)
    assert animator.finish().shape == (0, 52)
    with pytest.raises(SpeechError, match="frames a second"):
        SpeechAnimator(ARKIT_NAMES, 0.0, speech_checkpoint)


def test_networks_of_other_features_are_refused(speech_checkpoint: Path, tmp_path: Path) -> None:
    network, _ = load_speech_network(speech_checkpoint, speech_meaning(MelConfig()))
    other = save_speech_network(tmp_path / "other.safetensors", network, "something else", {})
    with pytest.raises(CheckpointError, match="other features"):
        SpeechAnimator(ARKIT_NAMES, 25.0, other)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        SpeechAnimator(ARKIT_NAMES, 25.0, tmp_path / "none.safetensors")


def test_an_animation_has_blinks_and_a_head_that_moves_slightly(speech_checkpoint: Path) -> None:
    sound = recording(voice(8.0), RATE_HZ)
    made = animate_speech(sound, ARKIT_NAMES, SpeechAnimationSettings(seed=1, checkpoint=speech_checkpoint))
    lids = made.weights[:, [ARKIT_NAMES.index(name) for name in LIDS]]
    assert lids.max() > 0.9 and np.median(lids) < 0.05 and np.array_equal(lids[:, 0], lids[:, 1])
    angle_deg = np.degrees(np.arccos(np.clip((np.trace(made.rotation, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0)))
    assert 0.3 < angle_deg.mean() < 6.0 and angle_deg.max() < 20.0
    again = animate_speech(sound, ARKIT_NAMES, SpeechAnimationSettings(seed=1, checkpoint=speech_checkpoint))
    assert np.array_equal(made.weights, again.weights) and np.array_equal(made.rotation, again.rotation)
    still = animate_speech(
        sound, ARKIT_NAMES, SpeechAnimationSettings(head_motion=0.0, blinks=False, checkpoint=speech_checkpoint)
    )
    assert np.allclose(still.rotation, np.eye(3)) and not still.weights[:, ARKIT_NAMES.index(LIDS[0])].any()


def test_the_packages_network_keeps_a_silent_mouth_shut_and_is_fast() -> None:
    animator = SpeechAnimator(ARKIT_NAMES, 25.0)
    for level in (0.0, 1e-3):
        weights = animator(level * np.random.default_rng(0).standard_normal(3 * RATE_HZ).clip(-3.0, 3.0), RATE_HZ)
        assert weights[:, ARKIT_NAMES.index("jawOpen")].max() < 0.05
        assert weights[:, ARKIT_NAMES.index("mouthFunnel")].max() < 0.1
    begun = time.process_time()
    animator(voice(10.0), RATE_HZ)
    assert time.process_time() - begun < 5.0  # a tenth of this on a quiet machine
    assert default_speech_checkpoint().stat().st_size < 5 << 20
