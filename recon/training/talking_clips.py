"""Clips of synthetic people who speak, drawn once before an editor is trained: crops, sound, and how far the lips are apart."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import logging
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import bfm
from bfm.model import MorphableModel
from recon.dubbing.clips import FaceClip, FaceClipError, framed, sound_of
from recon.dubbing.face_crops import mouth_crops
from recon.dubbing.mouth_guide import spoken_weights
from recon.io.files import write_file
from recon.speech.espeak import Espeak, EspeakVoice, SpokenText
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.sample import FaceBatch
from recon.synthesis.talking import TalkingClip, TalkingConfig, TalkingPeople
from recon.training.clip_heads import clip_guides, frames_at_rest, tracked_head
from recon.training.module import FaceModelConfig
from recon.training.speech_corpus import SpeechCorpusConfig

logger = logging.getLogger(__name__)

Speaker = Callable[[str, EspeakVoice], SpokenText]
"""Says a text in a voice, as :meth:`recon.speech.espeak.Espeak.speak`."""
_FORMAT = "facerecon-talking-clips-2"
_FIELD_OF_VIEW_DEG = 24.0
_FRAME_SIDES = 1.5
"""Sides of a frame in those of its crop: a frame shows 1.7 times as much of the face, so that crops are about as sharp as it is."""
_AT_ONCE = 20
"""Clips that a process draws before it starts anew."""
_POINT_NOISE = 0.008
"""Of points in shares of the face's size: about what the landmark network errs by."""
_ABOUT_REST_MM = {"varied": 3.0, "one": 0.6}
"""How much farther than in any frame lips may be apart in frames whose look guides have."""
_LIPS, _CORNERS = (62, 66), (60, 64)


def _look() -> SynthesisConfig:
    return SynthesisConfig(occluders=0.0)


@dataclasses.dataclass(frozen=True)
class TalkingClipsConfig:
    """Which clips are drawn.

    Attributes:
        count: clips.
        people: who speak them, by turns.
        size: side of the crops, px.
        corpus: what is said, and by whom; its count is that of the clips.
        head_motion: factor on how the heads move.
        look: what else the pictures show.
        face_model: whose faces.
        seed: of people and motion.
        looks: whose look guides have: that of ``varied`` frames whose lips are not far apart, or of ``one`` frame with the mouth at rest, as
            when videos are edited.

    Raises:
        ValueError: no clip, nobody to speak it, or no picture.
    """

    count: int = 600
    people: int = 300
    size: int = 64
    corpus: SpeechCorpusConfig = dataclasses.field(default_factory=lambda: SpeechCorpusConfig(words=(4, 8), seed=500))
    head_motion: float = 1.0
    look: SynthesisConfig = dataclasses.field(default_factory=_look)
    face_model: FaceModelConfig = dataclasses.field(default_factory=FaceModelConfig)
    seed: int = 500
    looks: Literal["varied", "one"] = "varied"

    def __post_init__(self) -> None:
        if self.count < 1 or self.people < 1 or not 16 <= self.size <= 1024:
            raise ValueError(
                f"there must be a clip, somebody to speak it and crops of 16 to 1024 px, got {self.count}, {self.people} and {self.size}"
            )

    @classmethod
    def held_out(cls, count: int, size: int) -> TalkingClipsConfig:
        """People, sentences and voices that are not trained on."""
        corpus = SpeechCorpusConfig.held_out(seed=7_919_500)
        return cls(count, count, size, corpus, seed=7_919_500, looks="one")

    def described(self) -> dict[str, object]:
        """All that decides on what a clip is: everything but their number."""
        facts = dataclasses.asdict(self)
        del facts["count"]
        facts["corpus"].pop("count")
        return {"format": _FORMAT, **facts}


def draw_talking_clips(
    folder: Path, config: TalkingClipsConfig, workers: int = 1, speak: Speaker | None = None
) -> None:
    """Draw the clips that a folder lacks, each whole or not at all.

    Args:
        folder: made if it is not there.
        config: which clips.
        workers: processes that draw; 0 draws in this one.
        speak: says the texts; ``None`` asks espeak-ng, which must be installed.

    Raises:
        FaceClipError: the folder holds other clips.
        SpeechError: see :class:`recon.speech.espeak.Espeak`.
        OutputError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description, wanted = folder / "clips.json", json.loads(json.dumps(config.described()))
    if description.exists():
        try:
            found = json.loads(description.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FaceClipError(f"{description} is damaged ({error}); remove {folder}, and it is made anew") from error
        if found != wanted:
            raise FaceClipError(f"{folder} holds other clips than those asked for; name another folder, or remove it")
    else:
        write_file(description, json.dumps(wanted, indent=1).encode())
    missing = [k for k in range(config.count) if not clip_file(folder, k).exists()]
    if not missing:
        return
    logger.info("drawing %d clips into %s, with %d processes", len(missing), folder, workers)
    parts = [missing[start : start + _AT_ONCE] for start in range(0, len(missing), _AT_ONCE)]
    draw = functools.partial(_draw, folder, config, speak)
    if workers == 0:
        for part in parts:
            draw(part)
        return
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, spawn, _one_thread) as pool:
        for done, part in enumerate(pool.map(draw, parts)):
            logger.info("clip %d, part %d of %d", part[-1], done + 1, len(parts))


def clip_file(folder: Path, number: int) -> Path:
    """Where a clip is kept."""
    return folder / f"clip-{number:06d}.safetensors"


def _one_thread() -> None:
    torch.set_num_threads(1)


def _draw(folder: Path, config: TalkingClipsConfig, speak: Speaker | None, numbers: list[int]) -> list[int]:
    with contextlib.ExitStack() as stack:
        people = talking_people(config, speak or stack.enter_context(Espeak()).speak)
        for number in numbers:
            drawn_clip(people.model, people(number), config.size, number, config.looks).save(clip_file(folder, number))
    return numbers


def talking_people(config: TalkingClipsConfig, speak: Speaker) -> TalkingPeople:
    """Who speaks in the clips of a config, in frames from which crops can be cut."""
    model = bfm.load(config.face_model.name, config.face_model.path)
    texts = [config.corpus.sentence(k) for k in range(config.count)]
    shown = TalkingConfig(
        field_of_view_deg=_FIELD_OF_VIEW_DEG, head_motion=config.head_motion, people=config.people, look=config.look
    )
    side = round(_FRAME_SIDES * config.size)
    return TalkingPeople(model, texts, speak, shown, config.seed, (side, side))


def drawn_clip(
    model: MorphableModel, clip: TalkingClip, size: int, number: int, looks: Literal["varied", "one"]
) -> FaceClip:
    """A clip of a talking person in crops, framed by points that err as found ones do, with guides by a head that errs as a tracked one."""
    drawn = list(clip.frames())
    true_px = np.concatenate([frame.landmarks68_px.double().numpy() for frame in drawn])
    random = np.random.default_rng([number, size])
    face_px = np.linalg.norm(true_px[:, 8] - true_px[:, 27], axis=1).mean()
    found_px = true_px + _POINT_NOISE * face_px * random.standard_normal(true_px.shape)
    pictures = [np.rint(255.0 * frame.image[0].permute(1, 2, 0).numpy()).astype(np.uint8) for frame in drawn]
    crops = mouth_crops(found_px)
    frames, hidden = framed(pictures, crops, size)
    facts = {"text": clip.text, "voice": clip.voice.name, "number": str(number)}
    sound, lips_mm = sound_of(clip.sound.samples, clip.sound.rate_hz), _lips_mm(drawn)
    head = tracked_head(model, drawn, crops, random)
    weights = spoken_weights(sound, clip.animation.time_s, model.expression_names)
    at_rest = frames_at_rest(lips_mm[:, 0], _ABOUT_REST_MM[looks])
    shown = random.choice(at_rest, len(frames)) if looks == "varied" else np.repeat(at_rest[:1], len(frames))
    guides = clip_guides(model, head, frames, weights, shown)
    return FaceClip(frames, hidden, sound, lips_mm, clip.animation.fps, facts, head, guides, shown)


def _lips_mm(drawn: list[FaceBatch]) -> np.ndarray:
    """``(T, 2)`` opening and width of the inner lips."""
    points = np.concatenate([frame.landmarks68_cam.numpy() for frame in drawn])
    pairs = [points[:, first] - points[:, second] for first, second in (_LIPS, _CORNERS)]
    return np.stack([np.linalg.norm(pair, axis=1) for pair in pairs], axis=1)
