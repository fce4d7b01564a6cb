"""Synthetic people who speak: frames of one person with the exact mouth of every moment, and the sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.io.audio import Recording
from recon.rotation import euler_to_matrix
from recon.speech.animation import SpeechAnimation, SpeechAnimationSettings, enlivened
from recon.speech.articulation import arkit_weights
from recon.speech.coarticulation import articulation
from recon.speech.espeak import EspeakVoice, SpokenText
from recon.speech.phonemes import PhonemeTrack
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.moving import MovingConfig, MovingHeads
from recon.synthesis.sample import FaceBatch
from recon.synthesis.scene.poses import HEAD_CENTRE_MM, HeadPoses

_LEAD_IN_S = 0.4
"""Silence before the first sound, in which the mouth is at rest."""
_LOOK_DEG = (8.0, 14.0, 4.0)
"""How far a person's head is turned from the camera on average: pitch, yaw, roll."""


@dataclasses.dataclass(frozen=True)
class TalkingConfig:
    """Settings of :class:`TalkingPeople`.

    Attributes:
        fps: frames a second.
        distance_mm: of the head.
        field_of_view_deg: horizontal.
        head_motion: factor on all motion of the head; 0 holds it still.
        blinks: whether lids blink.
        noise: whether frames have sensor noise.
        people: how many take turns, clip after clip; 0 shows a new one in each.
        look: what else the pictures show.

    Raises:
        ValueError: a negative number of people.
    """

    fps: float = 25.0
    distance_mm: float = 650.0
    field_of_view_deg: float = 30.0
    head_motion: float = 1.0
    blinks: bool = True
    noise: bool = False
    people: int = 0
    look: SynthesisConfig = dataclasses.field(default_factory=SynthesisConfig)

    def __post_init__(self) -> None:
        if self.people < 0:
            raise ValueError(f"people must be at least 0, got {self.people}; 0 shows a new one in each clip")


@dataclasses.dataclass(frozen=True, eq=False)
class TalkingClip:
    """One person who says one thing.

    Attributes:
        text: what is said.
        voice: by whom.
        sound: of the clip, with silence before and after.
        phonemes: their times in the clip.
        animation: weights of the model's expressions and the head's motion, a row a frame: the truth.
        frames: draws the pictures with all their labels, one after the other, each a batch of one; it can be called again.
    """

    text: str
    voice: EspeakVoice
    sound: Recording
    phonemes: PhonemeTrack
    animation: SpeechAnimation
    frames: Callable[[], Iterator[FaceBatch]]

    def __len__(self) -> int:
        return len(self.animation)


class TalkingPeople:
    """Clips of people, by number: each number has a person, a text and a voice of its own.

    Args:
        model: see :class:`recon.synthesis.sampler.FaceSampler`; its expressions bear ARKit's names.
        texts: what is said, and by whom; clip k says text ``k % len(texts)``.
        speak: says it, as :meth:`recon.speech.espeak.Espeak.speak`.
        config: how it is shown.
        seed: of all random numbers.
        size: (H, W) of the frames in px.

    Raises:
        ValueError: no texts.
    """

    def __init__(
        self,
        model: MorphableModel,
        texts: Sequence[tuple[str, EspeakVoice]],
        speak: Callable[[str, EspeakVoice], SpokenText],
        config: TalkingConfig | None = None,
        seed: int = 0,
        size: tuple[int, int] = (256, 256),
    ) -> None:
        if not texts:
            raise ValueError("there is nothing to say: give at least one text")
        self.model, self.texts, self.seed, self.size = model, list(texts), seed, size
        self.config = config or TalkingConfig()
        self._speak = speak

    def __call__(self, number: int) -> TalkingClip:
        """One clip.

        Raises:
            SpeechError: the text cannot be spoken.
        """
        text, voice = self.texts[number % len(self.texts)]
        spoken = self._speak(text, voice)
        config = self.config
        lead = np.zeros(round(_LEAD_IN_S * spoken.rate_hz))
        sound = Recording(np.concatenate([lead, spoken.samples]), spoken.rate_hz)
        track = spoken.phonemes
        shift_s = len(lead) / spoken.rate_hz
        phonemes = PhonemeTrack(track.symbols, track.start_s + shift_s, track.end_s + shift_s)
        times_s = np.arange(int(np.ceil(sound.seconds * config.fps))) / config.fps
        mouth = arkit_weights(articulation(phonemes, times_s), self.model.expression_names)
        settings = SpeechAnimationSettings(config.fps, self.seed + number, config.head_motion, config.blinks)
        animation = enlivened(mouth, self.model.expression_names, sound, settings)

        def frames() -> Iterator[FaceBatch]:
            head = _TalkingHead(self.model, (number, animation), config, self.seed, self.size)
            return head(number % config.people if config.people else number)

        return TalkingClip(text, voice, sound, phonemes, animation, frames)


class _TalkingHead(MovingHeads):
    """A moving head whose motion is given.

    Args:
        clip: its number, from which follows where the head usually looks, and its animation.
    """

    def __init__(
        self,
        model: MorphableModel,
        clip: tuple[int, SpeechAnimation],
        config: TalkingConfig,
        seed: int,
        size: tuple[int, int],
    ) -> None:
        number, self._animation = clip
        shown = {name: getattr(config, name) for name in ("fps", "distance_mm", "field_of_view_deg", "noise", "look")}
        super().__init__(model, MovingConfig(n_frames=len(self._animation), **shown), seed, size)
        self._clip = CounterRng.of(seed, [number])

    def _rows(self, times_s: Float[Tensor, " t"]) -> np.ndarray:
        return np.round(times_s.double().numpy() * self._animation.fps).astype(int)

    def poses(self, rng: CounterRng, times_s: Float[Tensor, " t"]) -> HeadPoses:
        """The head's own motion before a person's usual turn."""
        motion = torch.from_numpy(self._animation.rotation[self._rows(times_s)]).float()
        return _before_camera(self._clip, motion, self.config.distance_mm)

    def expression(self, rng: CounterRng, times_s: Float[Tensor, " t"]) -> Float[Tensor, "t ke"]:
        """The weights of the animation."""
        return torch.from_numpy(self._animation.weights[self._rows(times_s)]).float()


def _before_camera(rng: CounterRng, motion: Float[Tensor, "t 3 3"], distance_mm: float) -> HeadPoses:
    """Heads that turn about their middle, which is before the camera."""
    look_rad = torch.tensor(_LOOK_DEG).deg2rad() * rng.normal("look", 3).clamp(-1.5, 1.5)
    rotation = euler_to_matrix(look_rad) @ motion
    middle = torch.tensor([0.0, 0.0, -distance_mm])
    translation_mm = middle - rotation @ torch.tensor(HEAD_CENTRE_MM)
    return HeadPoses(rotation, translation_mm, torch.full((len(motion),), distance_mm))
