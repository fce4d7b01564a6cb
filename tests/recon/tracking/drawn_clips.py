"""Short videos for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.io.write_video import VideoWriter
from recon.synthesis.sample import FaceBatch

SIZE = (240, 320)
N, LOST = 7, (2, 3)
"""Frames of a made-up track, and which of them have no result."""


def pixels_of(frame: FaceBatch) -> np.ndarray:
    return (255.0 * frame.image[0].permute(1, 2, 0)).round().byte().numpy()


def write_clip(path: Path, pictures: list[np.ndarray], times_s: list[float] | None = None) -> Path:
    with VideoWriter(path, 25.0) as writer:
        for k, picture in enumerate(pictures):
            writer.write(picture, None if times_s is None else times_s[k])
    return path
