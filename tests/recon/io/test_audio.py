"""Sounds as they come: rates, channels, depths, and faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from recon.io.audio import MAX_SECONDS, AudioError, read_audio, recording

TONE = 0.4 * np.sin(np.arange(4000) / 7.0)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8"])
def test_rates_and_depths(tmp_path: Path, rate_hz: int, kind: str) -> None:
    stored = {
        "u1": np.round(TONE * 127.0 + 128.0).astype(np.uint8),
        "i2": np.round(TONE * 32767.0).astype(np.int16),
        "i4": np.round(TONE * 2147483647.0).astype(np.int32),
        "f4": TONE.astype(np.float32),
        "f8": TONE,
    }[kind]
    wavfile.write(tmp_path / "a.wav", rate_hz, stored)
    found = read_audio(tmp_path / "a.wav")
    assert found.rate_hz == rate_hz and found.seconds == 4000 / rate_hz and not found.notes
    np.testing.assert_allclose(found.samples, TONE, atol=0.01 if kind == "u1" else 1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, np.stack([TONE, 0.5 * TONE, np.zeros(4000)], axis=1))
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, 0.5 * TONE, atol=1e-12)


def test_a_clipped_sound_is_used_and_said(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, np.clip(4.0 * TONE, -1.0, 1.0))
    assert "clipped" in read_audio(tmp_path / "a.wav").notes[0]


def test_what_cannot_be_heard(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such sound"):
        read_audio(tmp_path / "none.wav")
    wavfile.write(tmp_path / "empty.wav", 16_000, np.zeros(0, np.int16))
    with pytest.raises(AudioError, match="empty"):
        read_audio(tmp_path / "empty.wav")
    wavfile.write(tmp_path / "nan.wav", 16_000, np.full(100, np.nan, np.float32))
    with pytest.raises(AudioError, match="no numbers"):
        read_audio(tmp_path / "nan.wav")
    whole = tmp_path / "whole.wav"
    wavfile.write(whole, 16_000, np.round(TONE * 32767.0).astype(np.int16))
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:30])
    with pytest.raises(AudioError, match="damaged"):
        read_audio(tmp_path / "cut.wav")
    with pytest.raises(AudioError, match="more than"):
        recording(np.zeros(int(10 * MAX_SECONDS) + 1), 10)
    with pytest.raises(AudioError, match="0 samples a second"):
        recording(TONE, 0)


def test_other_files(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from recon.io.write_video import Sound, VideoWriter

    frame = np.zeros((32, 48, 3), np.uint8)
    sound = Sound(np.repeat(TONE, 4)[:, None].astype(np.float32), 16_000)
    for name, track in (("a.mp4", sound), ("mute.mp4", None)):
        with VideoWriter(tmp_path / name, 25.0, sound=track) as writer:
            for _ in range(25):
                writer.write(frame)
    found = read_audio(tmp_path / "a.mp4")
    assert found.rate_hz == 16_000 and abs(found.seconds - 1.0) < 0.15
    assert abs(float(np.sqrt(np.mean(found.samples**2))) - 0.28) < 0.04
    with pytest.raises(AudioError, match="no sound"):
        read_audio(tmp_path / "mute.mp4")
    (tmp_path / "noise.mp3").write_bytes(b"no sound at all" * 20)
    with pytest.raises(AudioError, match="cannot be read"):
        read_audio(tmp_path / "noise.mp3")
