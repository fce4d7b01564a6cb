"""``recon speak``: a head and a voice to a head that speaks."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recon.io.faults import UsageError, complain
from recon.io.names import printable

if TYPE_CHECKING:
    from recon.io.audio import Recording

EXAMPLES = """examples:
  recon speak head.glb voice.wav -o talking.glb
  recon speak head.glb voice.wav -o talking.glb --video talking.mp4
  recon speak --photo face.jpg voice.mp3 -o talking.glb
  recon speak head.glb --text "Good morning!" --voice en-gb+f3 -o talking.glb
"""


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``speak`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "speak",
        help="let a head speak",
        description="Move the lips, lids and head of a GLB file to a voice: the file gets an animation of its ARKit morph targets. Only "
        "animate faces of people who agree, and say that the result is synthetic: it is marked so in its metadata.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="*",
        metavar="HEAD.glb VOICE",
        help="the head (not with --photo) and a file with sound (not with --text)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.glb", help="what to write")
    parser.add_argument("--photo", type=Path, metavar="FILE", help="reconstruct the head of this photo first")
    parser.add_argument("--text", metavar="TEXT", help="speak this by espeak-ng, which must be installed")
    parser.add_argument(
        "--voice", default="en-us", help="of espeak-ng, for --text: language, or language+speaker [en-us]"
    )
    parser.add_argument("--speed", type=int, default=165, metavar="WPM", help="words a minute, for --text [165]")
    parser.add_argument("--fps", type=float, default=30.0, help="keys a second [30]")
    parser.add_argument("--head-motion", type=float, default=1.0, metavar="X", help="0 holds the head still [1]")
    parser.add_argument("--no-blinks", action="store_true", help="leave the lids alone")
    parser.add_argument("--seed", type=int, default=0, help="of blinks and head motion [0]")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="speech network [the package's]")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="also draw the speaking head, with the sound")
    parser.add_argument("--overwrite", action="store_true", help="replace files")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0.

    Raises:
        UsageError: inputs that do not go together; nothing was begun.
        ValueError, OSError: see :func:`recon.speech.speak.speak`; no face in the photo.
    """
    head, voice = _inputs(arguments)
    from recon.speech.animation import SpeechAnimationSettings
    from recon.speech.speak import speak

    try:
        settings = SpeechAnimationSettings(
            arguments.fps, arguments.seed, arguments.head_motion, not arguments.no_blinks, arguments.checkpoint
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    sound = _sound(arguments, voice)
    for note in sound.notes:
        complain("recon speak", f"note: {note}", 0)
    with tempfile.TemporaryDirectory() as folder:
        source = head if head is not None else _reconstructed(arguments.photo, Path(folder) / "head")
        made = speak(
            source, sound, arguments.out, settings=settings, video=arguments.video, overwrite=arguments.overwrite
        )
    written = [arguments.out, *([arguments.video] if arguments.video is not None else [])]
    sys.stdout.write(
        f"wrote {', '.join(map(printable, written))}: {len(made)} keys, {sound.seconds:.2f} s, speech animation marked as synthetic\n"
    )
    return 0


def _inputs(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The head and the sound that are named."""
    wanted = [*([] if arguments.photo else ["HEAD.glb"]), *([] if arguments.text is not None else ["VOICE"])]
    if len(arguments.inputs) != len(wanted):
        raise UsageError(
            f"name {' and '.join(wanted) or 'no more files'} {'with these options ' if len(wanted) < 2 else ''}(--photo takes the place of "
            f"the head, --text that of the voice); got {len(arguments.inputs)} files"
        )
    named = dict(zip(wanted, arguments.inputs, strict=True))
    for path in (*arguments.inputs, *([arguments.photo] if arguments.photo else [])):
        if not path.is_file():
            raise UsageError(f"no such file: {printable(path)}")
    for path, ending in ((arguments.out, ".glb"), (arguments.video, ".mp4")):
        if path is None:
            continue
        if path.suffix.lower() != ending:
            raise UsageError(f"{printable(path)} should end in {ending}")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"the folder of {printable(path)} does not exist")
        if path.exists() and not arguments.overwrite:
            raise UsageError(f"{printable(path)} exists; --overwrite replaces it")
    return named.get("HEAD.glb"), named.get("VOICE")


def _sound(arguments: argparse.Namespace, voice: Path | None) -> Recording:
    from recon.io.audio import read_audio
    from recon.speech.espeak import EspeakVoice
    from recon.speech.speak import speak_text

    if voice is not None:
        return read_audio(voice)
    return speak_text(arguments.text, EspeakVoice(arguments.voice, arguments.speed))


def _reconstructed(photo: Path, folder: Path) -> Path:
    """The GLB file of the largest face of a photo, for a while in a folder."""
    from recon.reconstructor import Reconstructor

    Reconstructor("open").reconstruct(photo, faces="largest")[0].save(folder, ("glb",))
    return folder / "head.glb"
