"""``recon dub``: a video and a voice to a video whose lips follow the voice."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recon.io.faults import UsageError, complain
from recon.io.names import printable

EXAMPLES = """examples:
  recon dub clip.mp4 --audio voice.wav -o dubbed.mp4
  recon dub clip.mp4 --text "Good morning!" --voice en-gb+f3 -o dubbed.mp4
  recon dub clip.mp4 --audio voice.wav -o dubbed.mp4 --checkpoint runs/dub/version_0/best.safetensors --steps 50
"""


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dub`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "dub",
        help="let the lips of a video follow another voice",
        description="Draw the lower part of the largest face in a video anew, to another voice, by a diffusion network. Only edit videos of "
        "people who agree, and say that the result is synthetic: it is marked so in its metadata.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a file, or a folder of numbered pictures")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="the voice: a file with sound, a video too")
    parser.add_argument("--text", metavar="TEXT", help="speak this by espeak-ng, which must be installed")
    parser.add_argument(
        "--voice", default="en-us", help="of espeak-ng, for --text: language, or language+speaker [en-us]"
    )
    parser.add_argument("--speed", type=int, default=165, metavar="WPM", help="words a minute, for --text [165]")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.mp4", help="what to write")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="editor that train.py wrote [the package's]")
    parser.add_argument("--sampler", choices=("ddim", "ddpm"), default="ddim", help="how pictures are drawn [ddim]")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="for a picture; 0: all of the schedule [what the editor was trained for; ddpm: all]",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise [0]")
    parser.add_argument("--overwrite", action="store_true", help="replace a file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0.

    Raises:
        UsageError: inputs that do not go together; nothing was begun.
        ValueError, OSError: see :func:`recon.dubbing.dub.dub`; a video, a voice or a checkpoint that cannot be read.
    """
    _check(arguments)
    from tqdm import tqdm

    from recon.dubbing.dub import dub
    from recon.dubbing.editor import FaceEditor
    from recon.io.audio import read_audio
    from recon.io.video import open_video
    from recon.networks.diffusion.sampling import SamplingConfig
    from recon.speech.espeak import EspeakVoice
    from recon.speech.speak import speak_text

    try:
        own = arguments.steps is None and arguments.sampler == "ddim"
        sampling = None if own else SamplingConfig(arguments.sampler, arguments.steps or 0)
        editor = FaceEditor(arguments.checkpoint, sampling, arguments.seed)
    except ValueError as error:
        raise UsageError(str(error)) from error
    video = open_video(arguments.video)
    if arguments.audio is not None:
        sound = read_audio(arguments.audio)
    else:
        sound = speak_text(arguments.text, EspeakVoice(arguments.voice, arguments.speed))
    with tqdm(desc=printable(arguments.video), unit="frame", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        report = dub(video, sound, arguments.out, editor, overwrite=arguments.overwrite, progress=progress)
    for note in report.notes:
        complain("recon dub", f"note: {note}", 0)
    sys.stdout.write(
        f"wrote {printable(arguments.out)}: {report.edited} of {report.frames} frames edited, marked as synthetic\n"
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.audio is None) == (arguments.text is None):
        raise UsageError("give the voice by --audio FILE or what it says by --text TEXT, one of them")
    if not arguments.video.exists():
        raise UsageError(f"no such file: {printable(arguments.video)}")
    if arguments.audio is not None and not arguments.audio.is_file():
        raise UsageError(f"no such file: {printable(arguments.audio)}")
    if arguments.out.suffix.lower() != ".mp4":
        raise UsageError(f"{printable(arguments.out)} should end in .mp4")
    if not arguments.out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {printable(arguments.out)} does not exist")
    if arguments.out.exists() and not arguments.overwrite:
        raise UsageError(f"{printable(arguments.out)} exists; --overwrite replaces it")
