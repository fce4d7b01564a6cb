"""Spoken text with the times of its phonemes, by espeak-ng.

espeak-ng is a program of others under the GPL (version 3 or later), which users install themselves. Its library is loaded by a process of its own,
:mod:`recon.speech.espeak_process`, and never by this one.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from jaxtyping import Float

from recon.io.names import printable
from recon.speech.phonemes import PhonemeTrack, SpeechError

LIBRARY_VARIABLE = "ESPEAK_NG_LIBRARY"
"""Environment variable with the library's path, where the system does not find it."""
_TIMEOUT_S = 60.0
_MAX_LETTERS = 100_000
_LINGER_S = 0.4
"""Silence that is kept after the last phoneme."""


class EspeakMissingError(SpeechError):
    """espeak-ng is not installed, or cannot be started."""


@dataclasses.dataclass(frozen=True)
class EspeakVoice:
    """Who speaks, and how.

    Attributes:
        name: of a language of espeak-ng, with one of its speakers after a plus sign if wanted: ``"en-gb"``, ``"de+f3"``.
        words_per_minute: 80 to 450.
        pitch, pitch_range: 0 to 99.
        volume: 0 to 200; the program's own value is 100.

    Raises:
        SpeechError: a value outside of its range.
    """

    name: str = "en-us"
    words_per_minute: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100

    def __post_init__(self) -> None:
        for field, low, high in (
            ("words_per_minute", 80, 450),
            ("pitch", 0, 99),
            ("pitch_range", 0, 99),
            ("volume", 0, 200),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise SpeechError(f"{field} of a voice must lie in {low} to {high}, got {value}")
        if not self.name or not self.name.isprintable():
            raise SpeechError(f"{printable(self.name)!r} is no name of a voice; espeak-ng --voices lists them")


@dataclasses.dataclass(frozen=True, eq=False)
class SpokenText:
    """A text as it was spoken.

    Attributes:
        samples: ``(N,)`` in [-1, 1].
        rate_hz: samples a second.
        phonemes: with their times.
    """

    samples: Float[np.ndarray, " n"]
    rate_hz: int
    phonemes: PhonemeTrack


class Espeak:
    """A running espeak-ng. A context manager; one text is spoken after the other.

    Args:
        library: of espeak-ng; ``None`` looks for it (:func:`find_library`).

    Raises:
        EspeakMissingError: it is not installed, or does not start.
    """

    def __init__(self, library: str | os.PathLike[str] | None = None) -> None:
        place = (os.fspath(library), None) if library is not None else find_library()
        command = [sys.executable, "-I", str(Path(__file__).with_name("espeak_process.py")), *filter(None, place)]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            answer = self._answer()
        except SpeechError as error:
            self.close()
            raise EspeakMissingError(f"espeak-ng ({printable(place[0])}) does not start: {error}") from error
        if "error" in answer:
            self.close()
            raise EspeakMissingError(f"espeak-ng cannot be loaded: {answer['error']}")

    def speak(self, text: str, voice: EspeakVoice | None = None) -> SpokenText:
        """Speak a text. Spoken again, it has the same phonemes, at times that differ by some samples: the program goes on from the pitch
        that it ended with.

        Args:
            text: plain; punctuation makes pauses.
            voice: who speaks.

        Raises:
            SpeechError: an empty or far too long text, one in which espeak-ng finds nothing to speak, a voice that it does not have, or
                a program that crashed.
        """
        clean = " ".join(text.split())
        if not clean:
            raise SpeechError("the text to speak is empty")
        if len(clean) > _MAX_LETTERS:
            raise SpeechError(
                f"a text of {len(clean)} letters is too long to speak at once; {_MAX_LETTERS} are allowed"
            )
        if not all(letter.isprintable() for letter in clean):
            raise SpeechError(f"the text has letters that cannot be spoken: {printable(clean)[:80]}")
        request = {"text": clean, **dataclasses.asdict(voice or EspeakVoice())}
        request["voice"] = request.pop("name")
        with self._lock:
            answer, content = self._ask(request)
        samples = np.frombuffer(content, dtype="<i2").astype(np.float64) / 32768.0
        spoken = _phonemes([(int(at), str(name)) for at, name in answer["phonemes"]], len(samples), answer["rate_hz"])
        if not len(spoken):
            raise SpeechError(
                f"espeak-ng finds nothing to speak in {printable(clean)[:80]!r} with the voice {request['voice']}"
            )
        end = min(len(samples), round((spoken.end_s[-1] + _LINGER_S) * answer["rate_hz"]))
        return SpokenText(samples[:end], answer["rate_hz"], spoken)

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._pipes()
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except (OSError, ValueError) as error:
            raise SpeechError(f"espeak-ng has ended ({error}); start it again") from error
        answer = self._answer()
        if "error" in answer:
            raise SpeechError(answer["error"])
        content = stdout.read(answer["bytes"])
        if len(content) != answer["bytes"]:
            raise SpeechError("espeak-ng ended while it spoke; start it again")
        return answer, content

    def _answer(self) -> dict[str, Any]:
        """The next line. A program that hangs is ended, and its answer is then empty."""
        _, stdout = self._pipes()
        watch = threading.Timer(_TIMEOUT_S, self._process.kill)
        watch.start()
        try:
            line = stdout.readline()
        finally:
            watch.cancel()
        if not line.endswith(b"\n"):
            raise SpeechError(f"espeak-ng ended without an answer (exit code {self._process.poll()}); start it again")
        found: dict[str, Any] = json.loads(line)
        return found

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None and self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def close(self) -> None:
        """End the program."""
        for pipe in self._pipes():
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Espeak:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_library() -> tuple[str, str | None]:
    """Path or name of espeak-ng's library, and the folder of its voices where that is not its usual one.

    Looked for in :data:`LIBRARY_VARIABLE`, the system, and the Python package ``espeakng-loader``.

    Raises:
        EspeakMissingError: with the packages that have it.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return named, None
    found = ctypes.util.find_library("espeak-ng")
    if found is not None:
        return found, None
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader

        return str(espeakng_loader.get_library_path()), str(Path(espeakng_loader.get_data_path()).parent)
    raise EspeakMissingError(
        "espeak-ng, which speaks texts, is not installed: apt-get install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), "
        f"or pip install espeakng-loader; or set {LIBRARY_VARIABLE} to the path of its library"
    )


def _phonemes(events: list[tuple[int, str]], n_samples: int, rate_hz: int) -> PhonemeTrack:
    """Phonemes from where each begins; what has no letter is a pause, which only ends the one before, and so is a change of language,
    which is told in brackets."""
    starts = np.array([sample for sample, _ in events], dtype=np.float64) / rate_hz
    ends = np.append(starts[1:], n_samples / rate_hz)
    # Events can come a few samples out of order where espeak-ng joins two sounds.
    starts = np.maximum.accumulate(starts) if len(starts) else starts
    ends = np.maximum(ends, starts)
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    spoken = [position for position, (_, name) in enumerate(events) if name[:1] != "(" and any(map(str.isalpha, name))]
    return PhonemeTrack(tuple(events[k][1] for k in spoken), starts[spoken], ends[spoken])
