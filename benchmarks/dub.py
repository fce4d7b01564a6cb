"""How well editors draw the mouths of people whom they have not seen, to sentences and voices that they have not heard.

    python benchmarks/dub.py --clips CLIPS/held_out --sync sync.safetensors EDITOR.safetensors [EDITOR.safetensors ...]

Clips are those that ``configs/dub/facerecon_dub.yaml`` draws to hold out. Each editor edits them with their own voices (error against the
truth), and with the voice of the next clip, which shows whether it listens. "Guide alone" is what geometry tells without an editor.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from _report import print_header, print_table
from jaxtyping import UInt8
from PIL import Image

import bfm
from recon.dubbing.clips import FaceClip
from recon.dubbing.editor import FaceEditor
from recon.dubbing.mouth_guide import spoken_weights
from recon.dubbing.voices import at_frames, heard_voice, voice_meaning
from recon.evaluation.dubbing import ClipFigures, clip_figures, copied, feature_distance, mean_figures
from recon.networks.diffusion.sampling import SamplingConfig
from recon.networks.sync_checkpoint import load_sync_network
from recon.training.clip_heads import clip_guides

_COLUMNS = ("", "SSIM", "PSNR", "CPBD", "lips mm", "lips r", "LSE-D", "LSE-C", "Frechet", "ms/frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("editors", type=Path, nargs="*", help="checkpoints [the package's]")
    parser.add_argument("--clips", type=Path, required=True, help="folder of held-out clips")
    parser.add_argument("--sync", type=Path, required=True, help="checkpoint of a sync network (configs/dub/sync.yaml)")
    parser.add_argument("--count", type=int, default=24, help="clips [24]")
    parser.add_argument("--steps", type=int, help="of sampling [what each editor was trained for]")
    parser.add_argument("--sheet", type=Path, help="also write a picture: truth, own voice, other voice, copied frame")
    arguments = parser.parse_args()
    print_header(threads=1)
    network, _ = load_sync_network(arguments.sync, voice_meaning("mel"))
    clips = [FaceClip.load(file) for file in sorted(arguments.clips.glob("*.safetensors"))[: arguments.count]]
    print(f"{len(clips)} clips, {sum(map(len, clips))} frames of {clips[0].size} px")
    truth = [clip.frames for clip in clips]
    rows = [
        _row("the truth", clips, truth, network, None),
        _row("first frame copied", clips, list(map(copied, clips)), network, None),
        _row("guide alone", clips, [_pasted(_guides(clip, clip), clip) for clip in clips], network, None),
    ]
    for path in arguments.editors or [None]:
        editor = FaceEditor(path, None if arguments.steps is None else SamplingConfig("ddim", arguments.steps))
        name = path.parent.parent.name if path is not None else "package"
        drawn = {}
        for voice, shift in (("own voice", 0), ("other voice", 1)):
            start = time.process_time()
            drawn[voice] = [_edited(editor, clip, clips[(k + shift) % len(clips)]) for k, clip in enumerate(clips)]
            spent = (time.process_time() - start) / sum(map(len, clips))
            rows.append(_row(f"{name}, {voice}", clips, drawn[voice], network, 1000.0 * spent))
        if arguments.sheet is not None:
            _write_sheet(arguments.sheet, clips, list(drawn.values()))
    print_table("held-out clips", _COLUMNS, rows)


def _edited(editor: FaceEditor, clip: FaceClip, speaker: FaceClip) -> UInt8[np.ndarray, "t s s 3"]:
    heard = heard_voice(speaker.sound, editor.config.voice)
    voice = at_frames(heard, np.arange(len(clip)) / clip.fps, editor.config.window)
    if not editor.config.guide:
        return editor.clip(clip.frames, clip.hidden, voice)
    return editor.clip(clip.frames, clip.hidden, voice, _guides(clip, speaker), int(clip.shown[0]))


def _guides(clip: FaceClip, speaker: FaceClip) -> UInt8[np.ndarray, "t s s 4"]:
    model = bfm.load("open")
    weights = spoken_weights(speaker.sound, np.arange(len(clip)) / clip.fps, model.expression_names)
    return clip_guides(model, clip.head, clip.frames, weights, clip.shown)


def _pasted(guides: UInt8[np.ndarray, "t s s 4"], clip: FaceClip) -> UInt8[np.ndarray, "t s s 3"]:
    """The guide in what is hidden, as it is."""
    drawn = clip.frames.copy()
    for k, (left, top, right, bottom) in enumerate(clip.hidden):
        drawn[k, top:bottom, left:right] = guides[k, top:bottom, left:right, :3]
    return drawn


def _row(name: str, clips, drawn, network, milliseconds: float | None) -> list[object]:
    figures: ClipFigures = mean_figures([clip_figures(c, d, network) for c, d in zip(clips, drawn, strict=True)])
    apart = feature_distance(drawn, [clip.frames for clip in clips], network)
    digits = {
        "ssim": 3,
        "psnr": 1,
        "cpbd": 2,
        "opening_mm": 2,
        "opening_correlation": 2,
        "distance": 3,
        "confidence": 3,
    }
    cells = [f"{getattr(figures, field.name):.{digits[field.name]}f}" for field in dataclasses.fields(ClipFigures)]
    return [name, *cells, f"{apart:.2f}", "" if milliseconds is None else f"{milliseconds:.0f}"]


def _write_sheet(path: Path, clips: list[FaceClip], drawn: list[list[np.ndarray]], frames: int = 12) -> None:
    """Rows of some clips: truth, each edit, the copied frame; two pixels for one."""
    rows = []
    for k in range(0, len(clips), max(1, len(clips) // 6)):
        at = np.linspace(1, len(clips[k]) - 1, frames).round().astype(int)
        rows += [
            np.concatenate(list(shown[at]), axis=1)
            for shown in (clips[k].frames, *(d[k] for d in drawn), copied(clips[k]))
        ]
        rows.append(np.full((8, rows[-1].shape[1], 3), 255, dtype=np.uint8))
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.LANCZOS).save(path)


if __name__ == "__main__":
    main()
