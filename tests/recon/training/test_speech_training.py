"""A corpus of a speaker made in the test, pieces of it, and the module that learns from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.networks.network_file import CheckpointError
from recon.networks.speech_checkpoint import load_speech_network
from recon.networks.speech_network import SpeechNetworkConfig
from recon.speech.articulation import ARTICULATORS
from recon.speech.coarticulation import articulation
from recon.speech.espeak import EspeakVoice, SpokenText
from recon.speech.features import MelConfig
from recon.speech.phonemes import PhonemeTrack, SpeechError
from recon.training.schedule import OptimiserConfig
from recon.training.speech_augment import SpeechAugmentation, heard, played_slower
from recon.training.speech_corpus import SpeechCorpusConfig, read_corpus, speak_corpus
from recon.training.speech_data import SpeechBatch, SpeechClips, SpeechData, SpeechStream, whole_sentences
from recon.training.speech_module import SpeechLossWeights, SpeechModule, speech_loss_terms, speech_metrics
from recon.training.speech_words import WORDS
from recon.training.stream import BatchPlan, StreamPlace

RATE_HZ = 22_050
QUIET = SpeechAugmentation((1.0, 1.0), (0.0, 0.0), 0.0, 0.0, 0.0, (0.1, 0.2), 0.0, (5.0, 5.0), 0.0, 0.0)
CLOSURE = ARTICULATORS.index("closure")


def spoken(text: str, voice: EspeakVoice) -> SpokenText:
    """A speaker whose vowels are tones and whose lips shut for a pause: one syllable "ma" a word."""
    n_syllables = len(text.split())
    symbols, starts_s, sound = [], [], []
    at_s = 0.0
    for k in range(n_syllables):
        for symbol, length_s, level in (("m", 0.08, 0.02), ("a", 0.16, 0.4)):
            time_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
            sound.append(level * np.sin(2.0 * np.pi * (300.0 if symbol == "m" else 900.0 + 40.0 * k) * time_s))
            symbols.append(symbol)
            starts_s.append(at_s)
            at_s += len(time_s) / RATE_HZ
    edges_s = np.array([*starts_s, at_s])
    return SpokenText(np.concatenate(sound), RATE_HZ, PhonemeTrack(tuple(symbols), edges_s[:-1], edges_s[1:]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("corpus")
    speak_corpus(place / "train.safetensors", SpeechCorpusConfig(6, seed=1), spoken)
    speak_corpus(place / "held_out.safetensors", SpeechCorpusConfig.held_out(3), spoken)
    return place


def test_sentences_depend_on_number_and_seed_alone() -> None:
    config = SpeechCorpusConfig(seed=4)
    said = [config.sentence(k) for k in range(40)]
    assert said == [SpeechCorpusConfig(count=9, seed=4).sentence(k) for k in range(40)]
    assert said != [SpeechCorpusConfig(seed=5).sentence(k) for k in range(40)]
    assert len({voice.name for _, voice in said}) > 15 and len({text for text, _ in said}) == 40
    assert all(3 <= len(text.split()) <= 9 and text[-1] in ".?!" for text, _ in said)


def test_held_out_speakers_and_their_language_are_not_trained_on() -> None:
    trained, held_out = SpeechCorpusConfig(), SpeechCorpusConfig.held_out()
    assert not set(trained.speakers) & set(held_out.speakers)
    assert set(held_out.languages) - set(trained.languages) == {"it"}
    assert all(len(words) > 100 for words in WORDS.values())


def test_a_corpus_is_what_was_spoken(folder: Path) -> None:
    corpus = read_corpus(folder / "train.safetensors")
    text, voice = SpeechCorpusConfig(6, seed=1).sentence(2)
    wanted = spoken(text, voice)
    assert len(corpus) == 6 and corpus.voices[2] == voice.name
    assert corpus.phonemes[2].symbols == wanted.phonemes.symbols
    np.testing.assert_allclose(corpus.phonemes[2].end_s, wanted.phonemes.end_s, atol=1e-4)
    assert abs(len(corpus.sounds[2]) / 16_000 - len(wanted.samples) / RATE_HZ) < 1e-3
    assert abs(np.std(corpus.sounds[2] / 32768.0) - np.std(wanted.samples)) < 0.01


def test_a_corpus_of_other_sentences_is_not_taken(folder: Path, tmp_path: Path) -> None:
    def nobody(text: str, voice: EspeakVoice) -> SpokenText:
        raise AssertionError("it was spoken again")

    speak_corpus(folder / "train.safetensors", SpeechCorpusConfig(6, seed=1), nobody)
    with pytest.raises(SpeechError, match="other sentences"):
        speak_corpus(folder / "train.safetensors", SpeechCorpusConfig(6, seed=2), nobody)
    (tmp_path / "broken.safetensors").write_bytes(b"no corpus")
    with pytest.raises(SpeechError, match="cannot be read"):
        read_corpus(tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="no words of xx"):
        SpeechCorpusConfig(languages={"xx": 1.0})


def _stream(folder: Path, augmentation: SpeechAugmentation = QUIET, step: int = 0, **clips: float):
    place = StreamPlace(step)
    pieces = SpeechClips(**{"seconds": 0.7, **clips})
    return SpeechStream(folder / "train.safetensors", MelConfig(), pieces, augmentation, BatchPlan(3, seed=2), place)


def test_a_step_always_holds_the_same_sounds(folder: Path) -> None:
    steps = iter(_stream(folder, SpeechAugmentation()))
    first, second = next(steps), next(steps)
    again = next(iter(_stream(folder, SpeechAugmentation(), step=1)))
    assert torch.equal(second.features, again.features) and torch.equal(second.articulation, again.articulation)
    assert first.features.shape == (3, 35, 256) and not torch.equal(first.features, second.features)


def test_sound_and_truth_belong_together(folder: Path) -> None:
    """The tone of the vowel is loud where lips are open, at any tempo and wherever a piece begins."""
    slow = dataclasses.replace(QUIET, tempo=(1.3, 1.3))
    for augmentation in (QUIET, slow):
        batch = next(iter(_stream(folder, augmentation, seconds=3.0, wordless=0.0)))
        loud = batch.features.amax(dim=2)
        vowels = (batch.articulation[..., CLOSURE] < 0.1) & (batch.articulation[..., 0] > 0.15)
        shut = batch.articulation[..., CLOSURE] > 0.9
        assert int(vowels.sum()) > 20 and int(shut.sum()) > 10
        assert float(loud[vowels].mean()) > float(loud[shut].mean()) + 2.0


def test_wordless_pieces_are_mouths_at_rest(folder: Path) -> None:
    batch = next(iter(_stream(folder, SpeechAugmentation(), wordless=1.0)))
    assert not batch.articulation.any() and float(batch.features.std()) > 0.1


def test_a_quiet_room_changes_nothing_but_loudness() -> None:
    random = np.random.default_rng(0)
    sound = np.sin(np.arange(4000) / 9.0) * np.hanning(4000)
    np.testing.assert_allclose(heard(sound, 16_000, QUIET, random, sound), sound / np.abs(sound).max(), atol=1e-9)


def test_noise_is_as_loud_as_it_is_said_to_be() -> None:
    noisy = dataclasses.replace(QUIET, noise=1.0, snr_db=(6.0, 6.0))
    sound = np.sin(np.arange(16_000) / 9.0)
    found = heard(sound, 16_000, noisy, np.random.default_rng(1), sound)
    share = float(found @ sound / (sound @ sound))
    rest = found - share * sound
    assert 20.0 * np.log10(share * np.std(sound) / np.std(rest)) == pytest.approx(6.0, abs=0.5)


def test_rooms_and_slowness_keep_time() -> None:
    click = np.zeros(8000)
    click[3000] = 1.0
    room = dataclasses.replace(QUIET, reverberation=1.0, equaliser_db=4.0)
    for seed in range(5):
        found = heard(click, 16_000, room, np.random.default_rng(seed), click)
        assert abs(int(np.abs(found).argmax()) - 3000) <= 2 and found[3100:6000].any()
    slower = played_slower(click, 1.25)
    assert len(slower) == 10_000 and int(slower.argmax()) == 3750


def _motions(n: int = 40) -> torch.Tensor:
    track = spoken("ma ma ma", EspeakVoice()).phonemes
    motion = torch.from_numpy(articulation(track, np.arange(n) / 50.0)).float()
    return motion.expand(2, -1, -1)


def test_loss_and_metrics_of_the_truth() -> None:
    true = _motions()
    assert all(float(term) == 0.0 for term in speech_loss_terms(true, true, SpeechLossWeights()).values())
    metrics = speech_metrics(true, true)
    for name in ("jaw_correlation", "closure_correlation", "closure_recall", "closure_precision"):
        torch.testing.assert_close(metrics[name], torch.ones(2))
    late = speech_metrics(true.roll(5, dims=1), true)
    assert float(late["closure_correlation"].max()) < 0.7 and float(late["error"].min()) > 0.1


def test_errors_of_shut_lips_count_more() -> None:
    true = _motions()
    shut, opened = true[..., CLOSURE] > 0.9, true[..., CLOSURE] < 0.1

    def loss(where: torch.Tensor) -> float:
        off = torch.zeros_like(true)
        off[..., CLOSURE] = where.float() * 0.3 / where.sum()
        weights = SpeechLossWeights(velocity=0.0)
        return float(speech_loss_terms(true + off, true, weights)["position"]) * float(where.sum())

    assert loss(shut) > 2.0 * loss(opened)
    with pytest.raises(ValueError, match="closure"):
        SpeechLossWeights(closure=-1.0)


@pytest.fixture
def module() -> SpeechModule:
    torch.manual_seed(0)
    network = SpeechNetworkConfig(width=24, dilations=(1, 2, 4), lookahead=3)
    return SpeechModule(network, optimiser=OptimiserConfig("adamw", 5e-3, warm_up=1, schedule="constant"), average=0.9)


def test_it_learns_the_speaker(module: SpeechModule, folder: Path) -> None:
    data = SpeechData(str(folder), SpeechCorpusConfig(6, seed=1), plan=BatchPlan(3), held_out=3)
    module.network.start_from(*data.feature_statistics())
    optimiser = torch.optim.AdamW(module.network.parameters(), 5e-3)
    steps = iter(_stream(folder, QUIET, seconds=1.5))
    losses = []
    for _ in range(40):
        found, true = module._found_and_true(module.network, next(steps))
        loss = sum(speech_loss_terms(found, true, module.weights).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.4 * losses[0]
    with torch.no_grad():
        found, true = module._found_and_true(module.network, data.held_out[0])
    assert float(speech_metrics(found, true)["closure_correlation"]) > 0.6


def test_an_answer_is_compared_with_the_time_it_is_about(module: SpeechModule) -> None:
    batch = SpeechBatch(torch.randn(2, 20, 256), torch.arange(20.0)[None, :, None].expand(2, 20, 8))
    found, true = module._found_and_true(module.network, batch)
    assert found.shape == true.shape == (2, 17, 8) and true[0, 0, 0] == 0.0
    torch.testing.assert_close(found, module.network(batch.features)[:, 3:])


def test_weights_go_to_disk_with_what_they_mean(module: SpeechModule, tmp_path: Path) -> None:
    path = module.save_weights(tmp_path / "speech.safetensors", {"val/error": 0.3})
    again, header = load_speech_network(path, module.tie.value)
    assert again.config == module.network.config and "closure" in header["meaning"]
    checkpoint: dict = {"random_state": torch.get_rng_state()}
    module.on_save_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match="other features"):
        module.on_load_checkpoint({**checkpoint, "meaning": "other"})
    with pytest.raises(ValueError, match="256 bands"):
        SpeechModule(SpeechNetworkConfig(bands=80))


def test_whole_sentences_have_silence_around(folder: Path) -> None:
    corpus = read_corpus(folder / "held_out.safetensors")
    batches = whole_sentences(corpus, MelConfig(), around_s=0.4)
    assert len(batches) == 3
    for batch, sound in zip(batches, corpus.sounds, strict=True):
        assert abs(batch.features.shape[1] - (len(sound) / 320 + 40)) <= 2
        assert not batch.articulation[0, :5].gt(0.02).any() and batch.articulation[..., CLOSURE].max() > 0.9
