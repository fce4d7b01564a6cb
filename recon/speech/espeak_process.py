"""A program of its own that speaks text by the library of espeak-ng: requests come in lines of JSON, answers go out as a line of JSON
and samples. It imports nothing of this project, and this project never loads the library, whose licence is the GPL, into its own process.

Usage: ``python espeak_process.py LIBRARY [DATA_FOLDER]``
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

_SYNCHRONOUS = 1
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 1 << 0, 1 << 1, 1 << 15
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LIST_TERMINATED, _PHONEME = 0, 7


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of ``speak_lib.h``."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class _VoiceDescription(ctypes.Structure):
    """``espeak_VOICE`` of ``speak_lib.h``."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Voice:
    """The library, after it was set up."""

    def __init__(self, library: str, data: str | None) -> None:
        self._lib = ctypes.CDLL(library)
        options = _PHONEME_EVENTS | _IPA | _DONT_EXIT
        self.rate_hz = int(
            self._lib.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data) if data is not None else None, options)
        )
        if self.rate_hz <= 0:
            raise OSError(f"{library} finds no voices in {data or 'its usual folder'}")
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self._lib.espeak_GetCurrentVoice.restype = ctypes.POINTER(_VoiceDescription)
        folder = ctypes.c_char_p()
        self._lib.espeak_Info(ctypes.byref(folder))
        self._variants = os.path.join(os.fsdecode(folder.value or b""), "voices", "!v")
        self._samples = bytearray()
        self._phonemes: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._take)  # kept, or the library would call what is no more
        self._lib.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        position = 0
        while events[position].type != _LIST_TERMINATED:
            event = events[position]
            if event.type == _PHONEME:
                # Eight bytes may end within a letter.
                self._phonemes.append((event.sample, bytes(event.id.text).decode("utf-8", errors="ignore")))
            position += 1
        return 0

    def _choose(self, name: str) -> bool:
        """Take a voice by the name of its file, or else by its language, as the program ``espeak-ng`` does; with its variant, which the
        library passes over in silence where it has none, or where the language is no file."""
        language, plus, variant = name.partition("+")
        if plus and (os.path.basename(variant) != variant or not os.path.isfile(os.path.join(self._variants, variant))):
            return False
        if self._lib.espeak_SetVoiceByName(language.encode()) != 0:
            wanted = _VoiceDescription(languages=language.encode())
            if self._lib.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
                return False
        if not plus:
            return True
        file = os.path.basename(os.fsdecode(self._lib.espeak_GetCurrentVoice().contents.identifier))
        return bool(self._lib.espeak_SetVoiceByName(f"{file}+{variant}".encode()) == 0)

    def speak(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        self._samples, self._phonemes = bytearray(), []
        if not self._choose(request["voice"]):
            return {"error": f"espeak-ng has no voice {request['voice']!r}; espeak-ng --voices lists them"}, b""
        settings = {_RATE: "words_per_minute", _PITCH: "pitch", _RANGE: "pitch_range", _VOLUME: "volume"}
        for number, name in settings.items():
            self._lib.espeak_SetParameter(number, int(request[name]), 0)
        text = request["text"].encode() + b"\0"
        self._lib.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        return {"rate_hz": self.rate_hz, "phonemes": self._phonemes, "bytes": len(self._samples)}, bytes(self._samples)


def main() -> None:
    """Serve requests until the standard input ends."""
    # What the library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        voice = _Voice(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    except (OSError, AttributeError) as error:
        answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        answers.flush()
        return
    answers.write(b"{}\n")
    answers.flush()
    for line in sys.stdin.buffer:
        answer, samples = voice.speak(json.loads(line))
        answers.write(json.dumps(answer).encode() + b"\n" + samples)
        answers.flush()


if __name__ == "__main__":
    main()
