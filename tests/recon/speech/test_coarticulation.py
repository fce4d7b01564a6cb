"""Mouths of phonemes: a plain twin, and what any speaking mouth does."""

from __future__ import annotations

import numpy as np
import pytest
from speech_sounds import track

from recon.speech import coarticulation
from recon.speech.articulation import ARTICULATORS, SPOKEN_WEIGHTS, arkit_weights
from recon.speech.coarticulation import articulation
from recon.speech.phonemes import PhonemeTrack, SpeechError
from recon.speech.visemes import REST, known, visemes_of

SENTENCE = track(("m", 0.08), ("aɪ", 0.16), ("", 0.3), ("tʃ", 0.1), ("iː", 0.12), ("p", 0.07), ("u", 0.15), ("f", 0.1))
TIMES_S = np.arange(0.0, 2.5, 0.013)
JAW, CLOSURE, PUCKER, TUCK = (ARTICULATORS.index(name) for name in ("jaw", "closure", "pucker", "tuck"))


def articulation_reference(phonemes: PhonemeTrack, times_s: np.ndarray) -> np.ndarray:
    """Cohen & Massaro's mean, one moment, sound and articulator after the other."""
    spans = []  # (full from, full to, viseme)
    before = -np.inf
    for symbol, start, end in zip(phonemes.symbols, phonemes.start_s, phonemes.end_s, strict=True):
        if start - before > 0.05:
            margin = min(0.08, (start - before) / 4.0)
            spans.append((before + margin, start - margin, REST))
        parts = visemes_of(symbol)
        for k, viseme in enumerate(parts):
            low, high = start + k * (end - start) / len(parts), start + (k + 1) * (end - start) / len(parts)
            spans.append((0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high, viseme))
        before = end
    spans.append((before + 0.08, np.inf, REST))
    found = np.zeros((len(times_s), len(ARTICULATORS)))
    for row, t in enumerate(times_s):
        for a in range(len(ARTICULATORS)):
            above = below = 0.0
            for low, high, viseme in spans:
                tau = low - t if t < low else max(t - high, 0.0)
                dominance = viseme.dominance[a] * np.exp(-((tau / viseme.reach_s[a]) ** viseme.power[a]))
                above, below = above + dominance * viseme.target[a], below + dominance
            found[row, a] = above / below
    return found


def test_the_plain_twin_says_the_same() -> None:
    np.testing.assert_allclose(articulation(SENTENCE, TIMES_S), articulation_reference(SENTENCE, TIMES_S), atol=1e-4)


def test_the_order_of_times_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(TIMES_S))
    np.testing.assert_allclose(
        articulation(SENTENCE, TIMES_S[order]), articulation(SENTENCE, TIMES_S)[order], atol=1e-9
    )


def test_long_speech_is_as_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = articulation(SENTENCE, TIMES_S)
    monkeypatch.setattr(coarticulation, "_BLOCK_S", 0.3)
    np.testing.assert_allclose(articulation(SENTENCE, TIMES_S), whole, atol=1e-5)


def test_silence_is_a_mouth_at_rest() -> None:
    nobody = PhonemeTrack((), np.zeros(0), np.zeros(0))
    assert not articulation(nobody, TIMES_S).any()
    far = articulation(SENTENCE, np.array([-3.0, 5.0]))
    assert float(np.abs(far).max()) < 1e-3


@pytest.mark.parametrize("symbol", ["p", "b", "m"])
@pytest.mark.parametrize("vowel", ["a", "u", "iː", "ɒ"])
@pytest.mark.parametrize("length_s", [0.045, 0.08])
def test_lips_shut_on_bilabials_and_open_between(symbol: str, vowel: str, length_s: float) -> None:
    said = track((vowel, 0.14), (symbol, length_s), (vowel, 0.14), ("t", 0.06))
    shut, opened = articulation(said, np.array([0.5 + 0.14 + 0.5 * length_s, 0.5 + 0.21 + length_s]))[:, CLOSURE]
    assert shut > 0.9 and opened < 0.3


def test_the_lips_round_before_a_rounded_vowel_is_heard() -> None:
    rounded, spread = track(("s", 0.12), ("u", 0.2)), track(("s", 0.12), ("iː", 0.2))
    at = np.array([0.57])
    assert articulation(rounded, at)[0, PUCKER] > articulation(spread, at)[0, PUCKER] + 0.1


def test_open_vowels_open_the_jaw_more_than_close_ones() -> None:
    jaws = [
        articulation(track(("t", 0.07), (v, 0.2), ("t", 0.07)), np.array([0.67]))[0, JAW] for v in ("a", "ɛ", "e", "i")
    ]
    assert jaws == sorted(jaws, reverse=True) and jaws[0] > 2.0 * jaws[-1]


def test_the_lower_lip_meets_the_teeth_on_f_and_v() -> None:
    for symbol in ("f", "v"):
        mouth = articulation(track(("a", 0.15), (symbol, 0.09), ("a", 0.15)), np.array([0.695]))[0]
        assert mouth[TUCK] > 0.85 and mouth[CLOSURE] < 0.05


def test_marks_of_length_stress_and_tone_are_passed_over() -> None:
    for plain, marked in (("a", "ˈaː"), ("o", "õ"), ("p", "pʰ"), ("a", "ä")):
        assert visemes_of(plain) == visemes_of(marked)
    assert len(visemes_of("aɪ")) == len(visemes_of("tʃ")) == 2
    assert known("ŋ") and not known("?") and len(visemes_of("?")) == 1


def test_weights_are_in_range_and_shut_lips_take_back_the_jaw() -> None:
    names = (*SPOKEN_WEIGHTS, "browInnerUp")
    weights = arkit_weights(articulation(SENTENCE, TIMES_S), names)
    assert weights.shape == (len(TIMES_S), len(names)) and weights.min() >= 0.0 and weights.max() <= 1.0
    assert not weights[:, -1].any()
    mouth = np.full((1, len(ARTICULATORS)), 0.6)
    mouth[0, CLOSURE] = 1.0
    shut = dict(zip(names, arkit_weights(mouth, names)[0], strict=True))
    assert shut["mouthClose"] == shut["jawOpen"] > 0.0 and shut["mouthPressLeft"] > 0.0
    assert shut["mouthFunnel"] == shut["mouthUpperUpLeft"] == shut["mouthLowerDownRight"] == 0.0


def test_the_lips_of_the_open_head_meet_on_bilabials(open_model) -> None:
    """Inner lips of the head itself, in mm, against what they are at rest."""
    import torch

    said = track(("a", 0.15), ("m", 0.08), ("a", 0.15))
    weights = arkit_weights(articulation(said, np.array([0.0, 0.575, 0.69])), open_model.expression_names)
    marks = open_model.landmarks68(open_model.shape(None, torch.from_numpy(weights).float()))
    rest_mm, vowel_mm, shut_mm = (marks[:, 62, 1] - marks[:, 66, 1]).tolist()
    assert shut_mm < rest_mm + 0.2 and vowel_mm > rest_mm + 5.0


def test_tracks_that_make_no_sense() -> None:
    with pytest.raises(SpeechError, match="go back"):
        PhonemeTrack(("a", "b"), np.array([0.0, 0.05]), np.array([0.1, 0.2]))
    with pytest.raises(SpeechError, match="finite"):
        PhonemeTrack(("a",), np.array([0.0]), np.array([np.nan]))
    with pytest.raises(SpeechError, match="as many"):
        PhonemeTrack(("a",), np.zeros(2), np.ones(2))
    assert track(("m", 0.1), ("a", 0.1), ("mp", 0.1)).bilabial.tolist() == [True, False, True]
    assert SENTENCE.scaled(2.0).end_s[-1] == pytest.approx(2.0 * SENTENCE.end_s[-1])
