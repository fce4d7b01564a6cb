"""Draws the moving picture of the README: a clip of a drawn person beside the head that was tracked in it.

    python tools/moving_picture.py docs/track.webp

Needs the extra ``video``. The same file comes out on every machine but for rounding.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

import bfm
from recon.io.files import write_file
from recon.io.video import Video, frames_at, open_video
from recon.io.write_video import VideoWriter
from recon.synthesis.moving import MovingConfig, MovingHeads
from recon.tracking.head_track import HeadTrack
from recon.tracking.heads import head_at
from recon.tracking.tracker import Tracker

_SIZE, _SEED, _SHOWN_PX = (720, 1280), 5, 288
_GROUND = (52, 56, 62)
_MOST_BYTES = 1_500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the WebP to write")
    parser.add_argument("--person", type=int, default=0, help="number of the drawn person [0]")
    parser.add_argument("--frames", type=int, default=60, help="drawn, 25 a second [60]")
    parser.add_argument("--step", type=int, default=2, help="every so manieth is shown [2]")
    arguments = parser.parse_args()
    model = bfm.load("open")
    heads = MovingHeads(model, MovingConfig(n_frames=arguments.frames), _SEED, _SIZE)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        with VideoWriter(clip, heads.config.fps) as writer:
            for batch in heads(arguments.person):
                writer.write((255.0 * batch.image[0].permute(1, 2, 0)).round().byte().numpy())
        video = open_video(clip)
        (track,) = Tracker(model, "fast")(video)
        content = moving_picture(track, video, arguments.step)
    write_file(arguments.path, content, overwrite=True)


def moving_picture(track: HeadTrack, video: Video, step: int) -> bytes:
    """Every so manieth frame that has a head, as a WebP that begins again at its end.

    Raises:
        SystemExit: it is too large for a README.
    """
    shown = np.flatnonzero(track.found)[::step].tolist()
    first, *others = (side_by_side(track, position, pixels) for position, pixels in frames_at(video, shown))
    content = io.BytesIO()
    duration_ms = round(1000.0 * step / video.fps)
    first.save(content, "WEBP", save_all=True, append_images=others, duration=duration_ms, loop=0, quality=70, method=6)
    if content.tell() > _MOST_BYTES:
        raise SystemExit(f"{content.tell()} bytes are too many for a README: show fewer frames")
    return content.getvalue()


def side_by_side(track: HeadTrack, position: int, pixels: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """The square in a frame's middle, and the head in it before a plain ground."""
    ground = np.full_like(pixels, np.array(_GROUND, np.uint8))
    drawn = head_at(track, position, ground).overlay()
    height, width = pixels.shape[:2]
    left = (width - height) // 2
    whole = np.concatenate([picture[:, left : left + height] for picture in (pixels, drawn)], axis=1)
    return Image.fromarray(whole).resize((2 * _SHOWN_PX, _SHOWN_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
