"""How well the speech network hears mouths: sentences, speakers and a language that it was not trained on, silence, speed, and flite.

    python benchmarks/speech.py [--checkpoint FILE] [-o report.json]

espeak-ng must be installed, flite may be. Truth is the mouth that follows from the phonemes (``recon.speech.coarticulation``).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from _report import print_header, print_table

from bfm.open.expression import ARKIT_NAMES
from recon.io.audio import read_audio
from recon.speech.animator import SpeechAnimator
from recon.speech.articulation import arkit_weights
from recon.speech.coarticulation import articulation
from recon.speech.espeak import Espeak, EspeakVoice
from recon.speech.phonemes import PhonemeTrack

FPS = 60.0
NEAR_S = 0.04
SENTENCES = (
    "My mother bought five purple plums at the market on the bay.",
    "Bob and Pam put a big brown box beside the open window.",
    "The small boat moved slowly past the bridge before the storm came up.",
    "Please remember to bring some warm bread, butter and a map.",
    "A humble poem may be the best gift for a busy member of the family.",
    "We saw six swans on the silver lake when the sun began to sink.",
    "Maybe the plumber can stop by and mend the pipe tomorrow morning.",
    "His hobby is to climb up steep mountains with a rope and a lamp.",
    "The baby blinked, babbled, and grabbed the blue balloon.",
    "Thin smoke rose from the chimney of the empty cabin above the road.",
    "Jump over the puddle and help me open the gate for the lambs.",
    "Few people know how the old pump by the temple really works.",
)
VOICES = (
    "en-us+m3",
    "en-us+f4",
    "en-gb+klatt2",
    "en-gb+caleb",
    "en-us+Mario",
    "en-gb+steph",
    "en-us+shelby",
    "en-gb+quincy",
)
ITALIAN = ("Il bambino beve una bella bibita sul ponte.", "La mamma compra un pomodoro e un po' di pane.")
FLITE_VOICES = ("slt", "rms", "kal16")
_ARPABET = {
    **{"aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "ay": "aɪ", "eh": "ɛ", "er": "ɚ", "ey": "eɪ"},
    **{"ih": "ɪ", "iy": "i", "ow": "oʊ", "oy": "ɔɪ", "uh": "ʊ", "uw": "u", "b": "b", "ch": "tʃ", "d": "d", "dh": "ð"},
    **{
        "f": "f",
        "g": "ɡ",
        "hh": "h",
        "jh": "dʒ",
        "k": "k",
        "l": "l",
        "m": "m",
        "n": "n",
        "ng": "ŋ",
        "p": "p",
        "r": "ɹ",
    },
    **{"s": "s", "sh": "ʃ", "t": "t", "th": "θ", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ"},
}
_JAW, _CLOSE, _PRESS = (ARKIT_NAMES.index(name) for name in ("jawOpen", "mouthClose", "mouthPressLeft"))


def shut_share(press: np.ndarray) -> np.ndarray:
    """How far lips are shut, [0, 1], from the weight of ``mouthPress``, which is in proportion to it."""
    one = arkit_weights(np.array([[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]), ARKIT_NAMES)[0, _PRESS]
    return press / one


def closures(found: np.ndarray, phonemes: PhonemeTrack) -> tuple[int, int, list[float]]:
    """Of the sounds that shut the lips: how many are at least half shut within :data:`NEAR_S` of the sound's middle, their number, and
    by how much the middle of the found closure is late, s."""
    times_s = np.arange(len(found)) / FPS
    hit, late_s = 0, []
    for k in np.flatnonzero(phonemes.bilabial):
        start_s, end_s = phonemes.start_s[k], phonemes.end_s[k]
        middle_s = 0.5 * (start_s + end_s)
        near = np.abs(times_s - middle_s) <= NEAR_S
        if not near.any():
            near = np.arange(len(times_s)) == np.abs(times_s - middle_s).argmin()
        if found[near].max() >= 0.5:
            hit += 1
            shut = (found >= 0.5) & (np.abs(times_s - middle_s) <= 0.15)
            late_s.append(float(times_s[shut].mean() - middle_s))
    return hit, int(phonemes.bilabial.sum()), late_s


def false_closures(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the frames shown as shut that are not: the truth is open in them and in those within :data:`NEAR_S`."""
    reach = round(NEAR_S * FPS)
    wide = np.convolve((true >= 0.5).astype(float), np.ones(2 * reach + 1), mode="same") > 0.5
    shown = found >= 0.5
    return float((shown & ~wide).sum() / max(int(shown.sum()), 1))


def measure(animator: SpeechAnimator, samples: np.ndarray, rate_hz: int, phonemes: PhonemeTrack) -> dict[str, float]:
    """Numbers of one sentence, with half a second of silence before and after it."""
    quiet = np.zeros(rate_hz // 2)
    found = animator(np.concatenate([quiet, samples, quiet]), rate_hz)
    moved = PhonemeTrack(phonemes.symbols, phonemes.start_s + 0.5, phonemes.end_s + 0.5)
    true = arkit_weights(articulation(moved, np.arange(len(found)) / FPS), ARKIT_NAMES)
    shut = shut_share(found[:, _PRESS])
    hit, count, late_s = closures(shut, moved)
    return {
        "jaw": float(np.corrcoef(found[:, _JAW], true[:, _JAW])[0, 1]),
        "press": float(np.corrcoef(found[:, _PRESS], true[:, _PRESS])[0, 1]),
        "close": float(np.corrcoef(found[:, _CLOSE], true[:, _CLOSE])[0, 1]),
        "hit": hit,
        "count": count,
        "false": false_closures(shut, shut_share(true[:, _PRESS])),
        "late_ms": 1000.0 * float(np.mean(late_s)) if late_s else float("nan"),
        "silent_jaw": float(found[: round(0.3 * FPS), _JAW].max()),
    }


def summary(name: str, rows: list[dict[str, float]]) -> dict[str, object]:
    """The means of sentences."""
    return {
        "set": name,
        "sentences": len(rows),
        "jawOpen r": round(float(np.mean([r["jaw"] for r in rows])), 3),
        "mouthPress r": round(float(np.mean([r["press"] for r in rows])), 3),
        "mouthClose r": round(float(np.mean([r["close"] for r in rows])), 3),
        "closures": f"{sum(r['hit'] for r in rows)}/{sum(r['count'] for r in rows)}",
        "closures %": round(100.0 * sum(r["hit"] for r in rows) / sum(r["count"] for r in rows), 1),
        "false shut %": round(100.0 * float(np.mean([r["false"] for r in rows])), 1),
        "late ms": round(float(np.nanmean([r["late_ms"] for r in rows])), 1),
        "jaw in silence": round(max(r["silent_jaw"] for r in rows), 3),
    }


def flite_spoken(text: str, voice: str) -> tuple[np.ndarray, int, PhonemeTrack]:
    """A sentence of flite with the segments that it names."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        sound = read_audio(path)
    segments = [(name, float(end)) for name, end in re.findall(r"([a-z]+):([0-9.]+)", said)]
    starts = [0.0, *(end for _, end in segments[:-1])]
    kept = [(_ARPABET[n], s, e) for (n, e), s in zip(segments, starts, strict=True) if n in _ARPABET]
    track = PhonemeTrack(
        tuple(n for n, _, _ in kept), np.array([s for _, s, _ in kept]), np.array([e for _, _, e in kept])
    )
    return sound.samples, sound.rate_hz, track


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="speech network [the package's]")
    parser.add_argument("-o", "--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    print_header(threads=1)
    animator = SpeechAnimator(ARKIT_NAMES, FPS, arguments.checkpoint)
    rows = []
    with Espeak() as espeak:
        for name, texts, voices in (
            ("unseen English speakers", SENTENCES, VOICES),
            ("unseen language (it)", ITALIAN, ("it+m3", "it+f4")),
        ):
            measured = []
            for k, text in enumerate(texts):
                for voice in (voices[k % len(voices)], voices[(k + 3) % len(voices)]):
                    spoken = espeak.speak(text, EspeakVoice(voice, 140 + 20 * (k % 4)))
                    measured.append(measure(animator, spoken.samples, spoken.rate_hz, spoken.phonemes))
            rows.append(summary(name, measured))
    if shutil.which("flite"):
        for voice in FLITE_VOICES:
            rows.append(
                summary(f"flite {voice}", [measure(animator, *flite_spoken(text, voice)) for text in SENTENCES])
            )
    random = np.random.default_rng(0)
    silence = {
        "digital": np.zeros(80_000),
        "hiss at -60 dB": 1e-3 * random.standard_normal(80_000),
        "noise at -34 dB": 0.02 * random.standard_normal(80_000),
    }
    still = {name: round(float(animator(sound, 16_000)[:, _JAW].max()), 4) for name, sound in silence.items()}
    sound = 0.1 * random.standard_normal(30 * 16_000)
    begun = time.process_time()
    animator(sound, 16_000)
    speed = 30.0 / (time.process_time() - begun)
    print_table("Speech", tuple(rows[0]), [tuple(row.values()) for row in rows])
    print(f"largest jawOpen in silence: {still}")
    print(f"{speed:.0f} times real time on one core; latency of the stream {1000.0 * animator.latency_s:.0f} ms")
    if arguments.out is not None:
        report = {"rows": rows, "silence": still, "times_real_time": speed}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
