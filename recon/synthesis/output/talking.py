"""Clips of talking people on disk: an MP4 with sound, and a table for each kind of label."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recon.io.files import write_files
from recon.io.write_video import Sound, VideoWriter
from recon.speech.animation import PROVENANCE
from recon.synthesis.sample import FaceBatch
from recon.synthesis.talking import TalkingClip

SCHEMA = "facerecon-talking/1"


def write_clip(folder: Path, number: int, clip: TalkingClip, *, overwrite: bool = False) -> list[Path]:
    """Write ``NNNNNN.mp4``, ``NNNNNN_weights.csv``, ``NNNNNN_phonemes.csv``, ``NNNNNN_landmarks68.csv`` and, last, ``NNNNNN.json``.

    Args:
        folder: is there.
        number: of the clip.
        clip: to draw.
        overwrite: replace files.

    Returns:
        The files.

    Raises:
        OutputExistsError, OutputError: see :mod:`recon.io.files`.
        ModuleNotFoundError: PyAV is not installed (the extra ``video``).
    """
    stem = f"{number:06d}"
    video = folder / f"{stem}.mp4"
    track = Sound(clip.sound.samples[:, None].astype(np.float32), clip.sound.rate_hz)
    labels: list[list[float]] = []
    with VideoWriter(video, clip.animation.fps, sound=track, comment=PROVENANCE, overwrite=overwrite) as writer:
        for frame in clip.frames():
            writer.write((frame.image[0].permute(1, 2, 0) * 255.0).round().byte().numpy())
            labels.append(_frame_labels(frame))
        size = frame.size
    tables = {
        folder / f"{stem}_weights.csv": _table(("time_s", *clip.animation.names), _timed(clip, clip.animation.weights)),
        folder / f"{stem}_phonemes.csv": _table(
            ("symbol", "start_s", "end_s"),
            zip(clip.phonemes.symbols, clip.phonemes.start_s.round(4), clip.phonemes.end_s.round(4), strict=True),
        ),
        folder / f"{stem}_landmarks68.csv": _table(
            ("time_s", *(f"{axis}{k}" for k in range(68) for axis in "xy")), _timed(clip, np.array(labels)[:, :136])
        ),
        folder / f"{stem}_pose.csv": _table(
            ("time_s", *(f"r{i}{j}" for i in range(3) for j in range(3)), "tx_mm", "ty_mm", "tz_mm"),
            _timed(clip, np.array(labels)[:, 136:], 6),
        ),
    }
    facts = {
        "schema": SCHEMA,
        "text": clip.text,
        "voice": dataclasses.asdict(clip.voice),
        "fps": clip.animation.fps,
        "frames": len(clip),
        "height": size[0],
        "width": size[1],
        "provenance": PROVENANCE,
    }
    written = write_files(tables, overwrite=overwrite)
    # Last, so that a clip with this file is a finished one.
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    return [video, *written, *write_files({folder / f"{stem}.json": text.encode()}, overwrite=overwrite)]


def _frame_labels(frame: FaceBatch) -> list[float]:
    """Landmarks in px and the pose of a batch of one."""
    return [
        *frame.landmarks68_px[0].flatten().tolist(),
        *frame.rotation[0].flatten().tolist(),
        *frame.translation_mm[0].tolist(),
    ]


def _timed(clip: TalkingClip, values: np.ndarray, digits: int = 4) -> list[list[float]]:
    times_s = clip.animation.time_s.round(4)
    return [[time_s, *row] for time_s, row in zip(times_s.tolist(), values.round(digits).tolist(), strict=True)]


def _table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()
