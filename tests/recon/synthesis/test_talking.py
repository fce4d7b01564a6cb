"""Clips of talking people: sound, phonemes, weights and pictures of one time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from recon.commands.synthesize_talking import texts_of
from recon.io.faults import UsageError
from recon.speech.articulation import SPOKEN_WEIGHTS
from recon.speech.espeak import EspeakVoice, SpokenText
from recon.speech.phonemes import PhonemeTrack
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.talking import TalkingConfig, TalkingPeople

RATE_HZ = 8000
CLEAN = SynthesisConfig.clean(pose="uniform")
SIZE = (48, 64)


def spoken(text: str, voice: EspeakVoice) -> SpokenText:
    """Says "ma", and nothing for a while."""
    edges_s = np.array([0.0, 0.1, 0.3])
    return SpokenText(0.1 * np.sin(np.arange(4000) / 5.0), RATE_HZ, PhonemeTrack(("m", "a"), edges_s[:-1], edges_s[1:]))


@pytest.fixture(scope="module")
def people(head_model):
    config = TalkingConfig(fps=10.0, look=CLEAN)
    return TalkingPeople(head_model, [("ma", EspeakVoice())], spoken, config, seed=3, size=SIZE)


def test_all_of_a_clip_has_one_time(people: TalkingPeople) -> None:
    clip = people(1)
    assert len(clip) == 9 and abs(clip.sound.seconds - 0.9) < 1e-9
    begin_s = clip.phonemes.start_s[0]
    assert (
        not clip.sound.samples[: int(begin_s * RATE_HZ)].any() and clip.sound.samples[int(begin_s * RATE_HZ) + 5] != 0.0
    )
    names = clip.animation.names
    shut, opened = (round((begin_s + at_s) * 10.0) for at_s in (0.05, 0.2))
    jaw, press = (clip.animation.weights[:, names.index(name)] for name in ("jawOpen", "mouthPressLeft"))
    assert press[shut] > 0.9 * press.max() > 0.0 and jaw[opened] == jaw.max() > 0.15


def test_pictures_show_the_weights_that_are_told(people: TalkingPeople) -> None:
    clip = people(1)
    frames = list(clip.frames())
    assert len(frames) == len(clip) and frames[0].size == SIZE
    for frame, weights in zip(frames, clip.animation.weights, strict=True):
        np.testing.assert_allclose(frame.expression[0].numpy(), weights, atol=1e-6)
    gaps = [float((f.landmarks68_cam[0, 62] - f.landmarks68_cam[0, 66]).norm()) for f in frames]
    opening = clip.animation.weights[:, clip.animation.names.index("jawOpen")]
    opening = opening - clip.animation.weights[:, clip.animation.names.index("mouthClose")]
    assert int(np.argmax(gaps)) == int(opening.argmax())
    # One person under one light: what does not speak stays as it is.
    identity = frames[0].identity
    assert all(bool((f.identity == identity).all()) for f in frames)
    assert float((frames[0].image - frames[1].image).abs().mean()) < 0.05


def test_numbers_are_people(people: TalkingPeople) -> None:
    first, again, other = next(people(1).frames()), next(people(1).frames()), next(people(2).frames())
    assert bool((first.image == again.image).all()) and float((first.identity - other.identity).abs().max()) > 0.1


def test_without_texts(head_model) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        TalkingPeople(head_model, [], spoken)


def test_files_of_a_clip(people: TalkingPeople, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    from recon.synthesis.output.talking import write_clip

    clip = people(1)
    written = write_clip(tmp_path, 7, clip)
    assert written[0].name == "000007.mp4" and written[-1].name == "000007.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    with av.open(str(written[0])) as container:
        assert "Synthetic" in container.metadata["comment"] and container.streams.audio
        assert len(list(container.decode(video=0))) == 9
    facts = json.loads(written[-1].read_text())
    assert facts["frames"] == 9 and facts["text"] == "ma" and facts["voice"]["name"] == "en-us"
    rows = list(csv.DictReader((tmp_path / "000007_weights.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 9 and set(SPOKEN_WEIGHTS) < set(rows[0])
    jaw = [float(row["jawOpen"]) for row in rows]
    np.testing.assert_allclose(jaw, clip.animation.weights[:, clip.animation.names.index("jawOpen")], atol=1e-4)
    marks = list(csv.DictReader((tmp_path / "000007_landmarks68.csv").read_text(encoding="utf-8").splitlines()))
    wanted = next(clip.frames()).landmarks68_px[0]
    assert float(marks[0]["x30"]) == pytest.approx(float(wanted[30, 0]), abs=1e-3)
    assert float(marks[0]["y8"]) == pytest.approx(float(wanted[8, 1]), abs=1e-3)
    said = list(csv.DictReader((tmp_path / "000007_phonemes.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["symbol"] for row in said] == ["m", "a"] and float(said[0]["start_s"]) == pytest.approx(0.4)


def test_texts(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("One line.\n\n  Zwölf Boxkämpfer \n", encoding="utf-8")
    assert texts_of(str(lines)) == ["One line.", "Zwölf Boxkämpfer"] and texts_of("Hello, world") == ["Hello, world"]
    assert texts_of("x" * 5000) == ["x" * 5000]
    lines.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        texts_of(str(lines))
    lines.write_text(" \n")
    for given in (" ", str(lines)):
        with pytest.raises(UsageError, match="text"):
            texts_of(given)
