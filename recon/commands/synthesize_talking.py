"""``recon synthesize --talking``: clips of people who speak, with exact labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recon.io.extras import pip_hint
from recon.io.faults import UsageError
from recon.io.names import printable

if TYPE_CHECKING:
    from recon.synthesis.config import SynthesisConfig

_MAX_TEXT_BYTES = 1 << 20
_DEFAULT_SIZE = (256, 256)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``recon synthesize`` for talking people."""
    group = parser.add_argument_group("talking people")
    group.add_argument(
        "--talking",
        metavar="TEXT_OR_FILE",
        help="clips of people who say this by espeak-ng, which must be installed: a text, or a file with one a line",
    )
    group.add_argument(
        "--voices",
        default="en-us,en-gb+f3,en-us+m2,en-gb+f2",
        metavar="LIST",
        help="of espeak-ng, one a clip in turn [en-us,en-gb+f3,en-us+m2,en-gb+f2]",
    )
    group.add_argument("--speed", type=int, default=165, metavar="WPM", help="words a minute [165]")
    group.add_argument("--fps", type=float, default=25.0, help="frames a second [25]")


def write_talking(arguments: argparse.Namespace, config: SynthesisConfig, size: tuple[int, int] | None) -> int:
    """Write one clip a text, or ``--count`` of them. Clips that are finished stay as they are. Returns 0.

    Raises:
        UsageError: options that do not go together, or no text; nothing was begun.
        SpeechError: espeak-ng is not installed, or cannot speak a text.
        OutputExistsError: files of a clip are there that is not finished.
        OutputError: the folder cannot be written to.
    """
    if arguments.out is None or arguments.preview is not None or arguments.engine != "raster":
        raise UsageError(
            "--talking writes clips to the folder of -o, and goes neither with --preview nor with --engine cycles"
        )
    texts = texts_of(arguments.talking)
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UsageError(pip_hint(error) or str(error)) from error
    from bfm.registry import load
    from recon.io.files import OutputExistsError
    from recon.speech.espeak import Espeak, EspeakVoice
    from recon.synthesis.output.talking import write_clip
    from recon.synthesis.talking import TalkingConfig, TalkingPeople

    voices = [EspeakVoice(name.strip(), arguments.speed) for name in arguments.voices.split(",") if name.strip()]
    if not voices:
        raise UsageError("--voices names no voice")
    count = arguments.count if arguments.count is not None else len(texts)
    said = [(texts[k % len(texts)], voices[k % len(voices)]) for k in range(count)]
    with Espeak() as espeak:
        people = TalkingPeople(
            load("open"),
            said,
            espeak.speak,
            TalkingConfig(arguments.fps, look=config),
            arguments.seed,
            size or _DEFAULT_SIZE,
        )
        arguments.out.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            if (arguments.out / f"{number:06d}.json").exists():
                continue
            left = sorted(path.name for path in arguments.out.glob(f"{number:06d}*") if path.suffix in (".mp4", ".csv"))
            if left:
                raise OutputExistsError(
                    f"{printable(arguments.out / left[0])} is there, but no {number:06d}.json that ends a finished clip: it is what a killed run "
                    "left, or yours; move it away"
                )
            written = write_clip(arguments.out, number, people(number))
            sys.stdout.write(f"wrote {printable(written[0])}\n")
    return 0


def texts_of(given: str) -> list[str]:
    """The lines of a file of this name, or else the text itself.

    Raises:
        UsageError: no text.
    """
    path = Path(given)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        is_file = False
    if not is_file:
        if not given.strip():
            raise UsageError("--talking needs a text, or a file with one a line")
        return [given]
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise UsageError(f"{printable(path)} is larger than {_MAX_TEXT_BYTES >> 10} kB of text")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{printable(path)} cannot be read as text in UTF-8: {error}") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise UsageError(f"{printable(path)} has no text")
    return texts
