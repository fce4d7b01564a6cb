"""Clips of filmed speech in canonical crops, cut once before an editor is trained; and the data of such trainings."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from recon.datasets.filmed_speech import FilmedSpeech, crema_d_speech, grid_speech
from recon.dubbing.clips import FaceClip, FaceClipError, framed, sound_of
from recon.dubbing.followed_face import SoundFrames, follow_face
from recon.io.audio import AudioError, read_audio
from recon.io.faults import reason
from recon.io.files import write_file
from recon.io.video import VideoError, open_video
from recon.networks.diffusion.editor_network import Voice
from recon.training.dub_batch import DubAugmentation
from recon.training.dub_data import ClipData
from recon.training.stream import BatchPlan

logger = logging.getLogger(__name__)

_FPS = 25.0
_PLAN = BatchPlan(batch_size=10)
_AUGMENTATION = DubAugmentation()
_SKIPPED = "skipped.json"


@dataclasses.dataclass(frozen=True)
class FilmedClipsConfig:
    """Which films are cut.

    Attributes:
        corpus: ``grid`` or ``crema-d``, see :mod:`recon.datasets.filmed_speech`.
        root: folder of the corpus.
        speaker: of GRID.

    Raises:
        ValueError: another corpus.
    """

    corpus: Literal["grid", "crema-d"]
    root: str
    speaker: str = "s1"

    def __post_init__(self) -> None:
        if self.corpus not in ("grid", "crema-d"):
            raise ValueError(f"corpus is 'grid' or 'crema-d', got {self.corpus!r}")

    def speech(self) -> list[FilmedSpeech]:
        """The films. Raises FileNotFoundError: see :func:`recon.datasets.filmed_speech.grid_speech`."""
        root = Path(self.root).expanduser()
        return grid_speech(root, self.speaker) if self.corpus == "grid" else crema_d_speech(root)


def filmed_clip(filmed: FilmedSpeech, size: int) -> FaceClip:
    """The longest stretch of a film in which its largest face is seen, at 25 frames a second.

    Args:
        filmed: video and sound.
        size: side of the crops, px.

    Raises:
        FaceClipError: no face in it.
        VideoError, AudioError: video or sound cannot be read.
    """
    video = open_video(filmed.video, fps=_FPS)
    sound = read_audio(filmed.sound)
    followed = follow_face(video)
    if not followed.stretches:
        raise FaceClipError(f"no face was found in {filmed.video}")
    stretch = max(followed.stretches, key=lambda one: len(one.crops))
    last = stretch.first + len(stretch.crops)
    pictures, hidden = [], []
    for number, frame in enumerate(SoundFrames(video)):
        if stretch.first <= number < last:
            crops, rows = framed([frame.pixels], [stretch.crops[number - stretch.first]], size)
            pictures.append(crops)
            hidden.append(rows)
    start = round(followed.times_s[stretch.first] * sound.rate_hz)
    end = start + round(len(stretch.crops) / _FPS * sound.rate_hz)
    facts = {"speaker": filmed.speaker, "film": filmed.video.name}
    heard = sound_of(sound.samples[start:end], sound.rate_hz)
    return FaceClip(np.concatenate(pictures), np.concatenate(hidden), heard, fps=_FPS, facts=facts)


def cut_filmed_clips(folder: Path, speech: list[FilmedSpeech], size: int) -> list[Path]:
    """Cut the films whose clips a folder lacks. Films in which there is nothing to cut are named in ``skipped.json`` and a warning.

    Args:
        folder: made if it is not there.
        speech: films.
        size: side of the crops, px.

    Returns:
        The files of the clips.

    Raises:
        FaceClipError: none of the films gives a clip, or a clip there has another size.
        OutputError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / _SKIPPED
    skipped: dict[str, str] = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    files = []
    for number, filmed in enumerate(speech):
        file = folder / f"{filmed.speaker}-{filmed.video.stem}.safetensors"
        if not file.exists() and filmed.video.name not in skipped:
            try:
                filmed_clip(filmed, size).save(file)
            except (FaceClipError, VideoError, AudioError) as error:
                skipped[filmed.video.name] = reason(error)
                logger.warning("left out: %s", reason(error))
                write_file(note, json.dumps(skipped, indent=1).encode(), overwrite=True)
            if number % 20 == 0:
                logger.info("film %d of %d", number + 1, len(speech))
        if file.exists():
            files.append(file)
    if not files:
        raise FaceClipError(f"none of {len(speech)} films has a face that can be followed; {note} says why")
    if (found := FaceClip.load(files[0]).size) != size:
        raise FaceClipError(
            f"{folder} holds clips of {found} px, asked for are {size}; name another folder, or remove it"
        )
    return files


class FilmedData(ClipData):
    """GRID or CREMA-D.

    Args:
        folder: where clips are kept.
        films: which.
        size: side of the crops, px; ``train.py`` takes it from the network's config.
        settings: see :class:`recon.training.dub_data.ClipData`.

    Raises:
        ValueError: see :class:`recon.training.dub_data.ClipData`.
    """

    def __init__(
        self,
        folder: str,
        films: FilmedClipsConfig,
        size: int = 128,
        voice: Voice = "mel",
        window: int = 5,
        guide: int = 0,
        augmentation: DubAugmentation = _AUGMENTATION,
        plan: BatchPlan = _PLAN,
        held_out_frames: int = 128,
        workers: int = 0,
    ) -> None:
        super().__init__(voice, window, guide, augmentation, plan, held_out_frames, workers)
        self.folder, self.films, self.size = Path(folder).expanduser(), films, size

    def prepare_data(self) -> None:
        """Cut what has not been cut.

        Raises:
            FileNotFoundError, FaceClipError: see :func:`cut_filmed_clips`.
        """
        # Networks that follow faces are made with random numbers, which those of training must not depend on.
        with torch.random.fork_rng(devices=[]):
            for held_out in (False, True):
                self._cut(held_out)

    def _cut(self, held_out: bool) -> list[Path]:
        speech = [filmed for filmed in self.films.speech() if filmed.held_out == held_out]
        return cut_filmed_clips(self.folder / ("held_out" if held_out else "train"), speech, self.size)

    def clip_files(self) -> tuple[list[Path], list[Path]]:
        """See :class:`recon.training.dub_data.ClipData`."""
        return self._cut(False), self._cut(True)
