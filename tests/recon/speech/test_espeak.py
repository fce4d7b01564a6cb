"""espeak-ng: what it says and when; and what is said where it is not, or cannot speak."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from recon.speech import espeak as module
from recon.speech.espeak import Espeak, EspeakMissingError, EspeakVoice, find_library
from recon.speech.phonemes import SpeechError
from recon.speech.visemes import known


@pytest.fixture(scope="module")
def espeak():
    try:
        program = Espeak()
    except EspeakMissingError as error:
        pytest.skip(str(error))
    with program:
        yield program


def test_phonemes_have_the_times_of_the_sound(espeak: Espeak) -> None:
    said = espeak.speak("Sam says, see the sea! My mother bought five maps.", EspeakVoice("en-us"))
    track = said.phonemes
    assert track.bilabial.sum() == 6 and all(map(known, track.symbols))
    assert 0.0 <= track.start_s[0] and track.end_s[-1] <= len(said.samples) / said.rate_hz
    # Sibilants hiss: most of what is above 4 kHz sounds while they do.
    spectrum = np.fft.rfft(said.samples)
    spectrum[: round(4000 / said.rate_hz * len(said.samples))] = 0.0
    hiss = np.fft.irfft(spectrum, len(said.samples)) ** 2
    at_s = np.arange(len(hiss)) / said.rate_hz
    inside = np.zeros(len(hiss), dtype=bool)
    for symbol, start_s, end_s in zip(track.symbols, track.start_s, track.end_s, strict=True):
        if symbol in ("s", "z", "ʃ"):
            inside |= (at_s >= start_s - 0.02) & (at_s < end_s + 0.02)
    assert inside.mean() < 0.5 and hiss[inside].sum() > 0.8 * hiss.sum()


def test_voices_and_speeds_differ_and_the_same_is_the_same(espeak: Espeak) -> None:
    text = "Bring me a pumpkin."
    first, again = (espeak.speak(text, EspeakVoice("en-gb")) for _ in range(2))
    assert first.phonemes.symbols == again.phonemes.symbols
    np.testing.assert_allclose(first.phonemes.end_s, again.phonemes.end_s, atol=0.01)
    other = espeak.speak(text, EspeakVoice("en-gb+f3"))
    assert other.phonemes.symbols == first.phonemes.symbols
    assert len(other.samples) != len(first.samples) or not np.allclose(other.samples, first.samples, atol=0.05)
    slow = espeak.speak(text, EspeakVoice("en-gb", words_per_minute=100))
    assert len(slow.samples) > 1.3 * len(first.samples)


def test_what_it_cannot_speak(espeak: Espeak) -> None:
    for text, voice, said in (
        ("", "en-us", "empty"),
        (" \n ", "en-us", "empty"),
        ("...", "en-us", "nothing to speak"),
        ("a\x00b", "en-us", "cannot be spoken"),
        ("x" * 200_000, "en-us", "too long"),
        ("hello", "xx", "no voice 'xx'"),
        ("hello", "en-us+nobody", "no voice"),
        ("hello", "en-us+../m1", "no voice"),
    ):
        with pytest.raises(SpeechError, match=said):
            espeak.speak(text, EspeakVoice(voice))
    assert len(espeak.speak("It still speaks.").phonemes)


def test_a_program_that_ended_says_so(espeak: Espeak) -> None:
    with Espeak() as other:
        other._process.kill()
        other._process.wait()
        with pytest.raises(SpeechError, match="ended"):
            other.speak("hello")


def test_voices_that_make_no_sense() -> None:
    for changes in ({"words_per_minute": 10}, {"pitch": 100}, {"pitch_range": -1}, {"volume": 300}, {"name": ""}):
        with pytest.raises(SpeechError):
            EspeakVoice(**changes)


def test_absent_it_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(module.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EspeakMissingError, match=r"apt-get install espeak-ng.*espeakng-loader"):
        Espeak()
    monkeypatch.setenv(module.LIBRARY_VARIABLE, "/nowhere/libespeak-ng.so")
    assert find_library() == ("/nowhere/libespeak-ng.so", None)
    with pytest.raises(EspeakMissingError, match="cannot be loaded"):
        Espeak()


def test_a_library_of_another_kind_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "library.so"
    wrong.write_bytes(b"no library")
    with pytest.raises(EspeakMissingError, match="cannot be loaded"):
        Espeak(wrong)


def test_the_library_never_enters_this_process(espeak: Espeak) -> None:
    espeak.speak("hello")
    maps = Path("/proc/self/maps")
    if sys.platform != "linux" or not maps.exists():
        pytest.skip("only Linux tells what a process has loaded")
    assert "espeak" not in maps.read_text()
