"""Sentences that espeak-ng speaks once, before the speech network is trained, and their phonemes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from recon.io.files import write_file
from recon.speech.espeak import Espeak, EspeakVoice, SpokenText
from recon.speech.phonemes import PhonemeTrack, SpeechError
from recon.speech.resample import resampled
from recon.training.speech_words import WORDS

RATE_HZ = 16_000
_FORMAT = "facerecon-speech-corpus-1"
_LANGUAGES = {
    "en-us": 4.0,
    "en-gb": 3.0,
    "en-gb-scotland": 1.0,
    "de": 2.0,
    "fr": 1.0,
    "es": 1.0,
    "pl": 1.0,
    "sv": 1.0,
    "nl": 1.0,
    "pt": 1.0,
    "tr": 1.0,
    "fi": 1.0,
    "cs": 1.0,
}
_SPEAKERS = (
    *(
        "m1",
        "m2",
        "m4",
        "m5",
        "m6",
        "m7",
        "m8",
        "f1",
        "f2",
        "f3",
        "f5",
        "klatt",
        "klatt3",
        "klatt5",
        "whisper",
        "croak",
    ),
    *(
        "Alex",
        "Andrea",
        "Andy",
        "Annie",
        "Denis",
        "Hugo",
        "Jacky",
        "Lee",
        "Marco",
        "Michael",
        "Nguyen",
        "adam",
        "anika",
    ),
    *(
        "belinda",
        "benjamin",
        "boris",
        "david",
        "ed",
        "edward",
        "gustave",
        "iven2",
        "linda",
        "max",
        "pablo",
        "paul",
        "robert",
    ),
    *("sandro", "steph2", "travis", "victor", "zac", ""),
)
_HELD_OUT_LANGUAGES = {"en-us": 4.0, "en-gb": 2.0, "de": 1.0, "es": 1.0, "it": 2.0}
_HELD_OUT_SPEAKERS = ("m3", "f4", "klatt2", "caleb", "Mario", "steph", "shelby", "quincy")


@dataclasses.dataclass(frozen=True)
class SpeechCorpusConfig:
    """What is spoken, and by whom. No two seeds speak the same sentences.

    Attributes:
        count: sentences.
        languages: of espeak-ng with their shares; each starts with the name of a list of words.
        speakers: of espeak-ng; an empty name is the language's own.
        words: fewest and most in a sentence.
        words_per_minute: slowest and fastest speech.
        seed: of all choices.

    Raises:
        ValueError: no sentence, a language without words, or a range that goes back.
    """

    count: int = 3000
    languages: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(_LANGUAGES))
    speakers: tuple[str, ...] = _SPEAKERS
    words: tuple[int, int] = (3, 9)
    words_per_minute: tuple[int, int] = (115, 230)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.speakers or not self.languages:
            raise ValueError("a corpus needs at least one sentence, one language and one speaker")
        missing = [name for name in self.languages if name.partition("-")[0] not in WORDS]
        if missing:
            raise ValueError(f"there are no words of {', '.join(missing)}; there are of {', '.join(WORDS)}")
        if not 1 <= self.words[0] <= self.words[1] or not self.words_per_minute[0] <= self.words_per_minute[1]:
            raise ValueError("the ranges of words and words_per_minute must be positive and not fall")

    @classmethod
    def held_out(cls, count: int = 150, seed: int = 7_919_000) -> SpeechCorpusConfig:
        """Sentences, speakers and a language that are not trained on."""
        return cls(count, dict(_HELD_OUT_LANGUAGES), _HELD_OUT_SPEAKERS, seed=seed)

    def sentence(self, number: int) -> tuple[str, EspeakVoice]:
        """What is said, and how: a random row of words, with commas at times."""
        random = np.random.default_rng([self.seed, number])
        shares = np.array(list(self.languages.values()))
        language = list(self.languages)[int(random.choice(len(shares), p=shares / shares.sum()))]
        words = WORDS[language.partition("-")[0]]
        chosen = [
            words[int(k)] for k in random.integers(len(words), size=random.integers(self.words[0], self.words[1] + 1))
        ]
        paused = [word + ("," if random.random() < 0.1 else "") for word in chosen[:-1]]
        speaker = self.speakers[int(random.integers(len(self.speakers)))]
        voice = EspeakVoice(
            f"{language}+{speaker}" if speaker else language,
            int(random.integers(self.words_per_minute[0], self.words_per_minute[1] + 1)),
            int(random.integers(25, 76)),
            int(random.integers(20, 81)),
        )
        return " ".join([*paused, chosen[-1]]) + str(random.choice([".", "?", "!"])), voice


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechCorpus:
    """Sentences as they were spoken.

    Attributes:
        sounds: ``(n,)`` 16-bit samples of each at :data:`RATE_HZ`.
        phonemes: of each.
        voices: names of each.
    """

    sounds: list[np.ndarray]
    phonemes: list[PhonemeTrack]
    voices: list[str]

    def __len__(self) -> int:
        return len(self.sounds)


def speak_corpus(
    path: Path, config: SpeechCorpusConfig, speak: Callable[[str, EspeakVoice], SpokenText] | None = None
) -> Path:
    """Speak all sentences into one file, unless it is there.

    Args:
        path: of the ``.safetensors`` file; its folder is made.
        config: what to speak.
        speak: as :meth:`recon.speech.espeak.Espeak.speak`, which is the default.

    Raises:
        SpeechError: the file holds other sentences; or see :class:`recon.speech.espeak.Espeak`.
        OutputError: it cannot be written.
    """
    facts = json.dumps({"format": _FORMAT, **dataclasses.asdict(config)}, sort_keys=True)
    if path.exists():
        if _header(path).get("facts") != facts:
            raise SpeechError(f"{path} holds other sentences than are asked for; name another folder, or delete it")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if speak is None:
        with Espeak() as espeak:
            return _spoken(path, config, facts, espeak.speak)
    return _spoken(path, config, facts, speak)


def _spoken(
    path: Path, config: SpeechCorpusConfig, facts: str, speak: Callable[[str, EspeakVoice], SpokenText]
) -> Path:
    sounds, rows = [], []
    for number in range(config.count):
        text, voice = config.sentence(number)
        spoken = speak(text, voice)
        samples = resampled(spoken.samples, spoken.rate_hz, RATE_HZ)
        sounds.append(torch.from_numpy(np.clip(np.round(32767.0 * samples), -32768, 32767).astype(np.int16)))
        track = spoken.phonemes
        times_s = np.stack([track.start_s, track.end_s], axis=1).round(5).tolist()
        rows.append({"voice": voice.name, "samples": len(samples), "symbols": track.symbols, "times_s": times_s})
    header = {"facts": facts, "sentences": json.dumps(rows, ensure_ascii=False)}
    return write_file(path, save({"samples": torch.cat(sounds)}, metadata=header))


def read_corpus(path: Path) -> SpeechCorpus:
    """The sentences of a file.

    Raises:
        SpeechError: it is missing or damaged.
    """
    rows = json.loads(_header(path)["sentences"])
    with safe_open(path, framework="pt") as file:
        samples = file.get_tensor("samples").numpy()
    if sum(row["samples"] for row in rows) != len(samples):
        raise SpeechError(f"{path} is damaged; delete it, and it is made anew")
    ends = np.cumsum([row["samples"] for row in rows])
    times = [np.array(row["times_s"]).reshape(-1, 2) for row in rows]
    return SpeechCorpus(
        np.split(samples, ends[:-1]),
        [PhonemeTrack(tuple(row["symbols"]), at[:, 0], at[:, 1]) for row, at in zip(rows, times, strict=True)],
        [row["voice"] for row in rows],
    )


def _header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise SpeechError(f"{path} cannot be read as a corpus of speech: {error}") from error
    if not {"facts", "sentences"} <= set(header):
        raise SpeechError(f"{path} is no corpus of speech")
    return header
