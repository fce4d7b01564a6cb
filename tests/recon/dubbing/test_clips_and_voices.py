"""Clips on disk, and what is heard at the time of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.dubbing.clips import RATE_HZ, FaceClip, FaceClipError, sound_of
from recon.dubbing.voices import at_frames, heard_voice
from recon.inference.face_boxes import DEFAULT_FACE_BOX_NETWORK


def _clip() -> FaceClip:
    random = np.random.default_rng(0)
    return FaceClip(
        random.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8),
        np.tile(np.array([2, 6, 14, 16], dtype=np.int32), (5, 1)),
        random.integers(-9000, 9000, 3200, dtype=np.int16),
        random.random((5, 2)).astype(np.float32),
        25.0,
        {"text": "Grüße"},
    )


def test_a_clip_is_read_as_it_was_written(tmp_path: Path) -> None:
    clip = _clip()
    again = FaceClip.load(clip.save(tmp_path / "clip.safetensors"))
    for name in ("frames", "hidden", "sound", "lips_mm"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))
    assert again.fps == 25.0 and again.facts == {"text": "Grüße"} and len(again) == 5 and again.size == 16
    bare = FaceClip(clip.frames, clip.hidden, clip.sound)
    assert FaceClip.load(bare.save(tmp_path / "clip.safetensors")).lips_mm is None


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no clip")
    with pytest.raises(FaceClipError, match="text.safetensors cannot be read"):
        FaceClip.load(tmp_path / "text.safetensors")
    with pytest.raises(FaceClipError, match="none.safetensors cannot be read"):
        FaceClip.load(tmp_path / "none.safetensors")
    with pytest.raises(FaceClipError, match="is no clip of a face"):
        FaceClip.load(DEFAULT_FACE_BOX_NETWORK)


def test_sounds_become_16_bit_at_16_khz() -> None:
    tone = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(44_100) / 44_100)
    found = sound_of(tone, 44_100)
    assert found.dtype == np.int16 and abs(len(found) - RATE_HZ) <= 1
    expected = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(len(found)) / RATE_HZ)
    assert np.abs(found[1000:-1000] / 32767.0 - expected[1000:-1000]).max() < 0.01
    assert sound_of(np.array([2.0, -2.0] * 50), RATE_HZ).max() == 32767


@pytest.mark.parametrize("voice", ["mel", "articulators"])
def test_a_frame_hears_what_sounds_at_its_time(voice) -> None:
    """A click is heard by the frames about it alone; long before and after there is silence."""
    sound = np.zeros(2 * RATE_HZ, dtype=np.int16)
    sound[RATE_HZ - 400 : RATE_HZ + 400] = np.random.default_rng(2).integers(-20_000, 20_000, 800)
    heard = heard_voice(sound, voice)
    quiet = heard_voice(np.zeros_like(sound), voice)
    assert heard.shape == quiet.shape == (150, 256 if voice == "mel" else 8)
    times_s = np.arange(50) / 25.0
    change = np.abs(at_frames(heard, times_s, 5) - at_frames(quiet, times_s, 5)).max(axis=(1, 2))
    assert abs(times_s[change.argmax()] - 1.0) <= 0.12 and change[:10].max() < 0.05 * change.max()


def test_windows_hold_the_neighbouring_times() -> None:
    rows = np.arange(200.0)[:, None] * np.ones(3)
    found = at_frames(rows, np.array([0.0, 0.04, 1.0, -9.0, 99.0]), 5)
    np.testing.assert_array_equal(found[0, :, 0], [23, 24, 25, 26, 27])
    np.testing.assert_array_equal(found[1, :, 0], [25, 26, 27, 28, 29])
    np.testing.assert_array_equal(found[2, :, 0], [73, 74, 75, 76, 77])
    assert (found[3] == 0.0).all() and (found[4] == 199.0).all()
