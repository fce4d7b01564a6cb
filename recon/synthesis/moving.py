"""Synthetic videos: one person whose head, face and light move smoothly, with the truth of every frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import srgb_to_linear
from recon.lighting import rotate_lighting
from recon.rotation import euler_to_matrix
from recon.synthesis.camera.camera_pipeline import camera_pipeline
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.sample import FaceBatch
from recon.synthesis.sampler import FaceSampler
from recon.synthesis.scene.heads import sample_heads
from recon.synthesis.scene.poses import HEAD_CENTRE_MM, HeadPoses

_AT_ONCE = 4
_TURN_DEG = (24.0, 12.0, 7.0)
"""Root mean square of yaw, pitch and roll."""
_SHIFT_MM = (35.0, 20.0, 30.0)
_LIGHT_DEG = 12.0
_HZ = (0.15, 0.7)
"""Frequencies of which heads and lights move."""
_ACTED = (
    ("jawOpen",),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("mouthFunnel",),
    ("mouthPucker",),
    ("browDownLeft", "browDownRight"),
    ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("mouthLowerDownLeft", "mouthLowerDownRight"),
)
"""Expressions that act together."""
_SINGLE_FRAMES = ("noise", "blur", "motion_blur", "low_resolution", "jpeg", "colour_cast", "contrast", "gray")
"""What a camera does to single frames, by the names of the settings."""
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
_BLINK_S, _BLINK_EVERY_S = 0.3, 2.2


@dataclasses.dataclass(frozen=True)
class MovingConfig:
    """Settings of a :class:`MovingHeads`.

    Attributes:
        fps: frames a second.
        n_frames: of a video.
        distance_mm: of the head in the mean.
        field_of_view_deg: horizontal.
        motion: factor on all movement of the head; 0 holds it still.
        expression: factor on all expressions.
        noise: whether frames have sensor noise.
        look: what else the pictures show.
    """

    fps: float = 25.0
    n_frames: int = 150
    distance_mm: float = 650.0
    field_of_view_deg: float = 45.0
    motion: float = 1.0
    expression: float = 1.0
    noise: bool = True
    look: SynthesisConfig = dataclasses.field(default_factory=SynthesisConfig)


class MovingHeads:
    """Videos of synthetic people, by number.

    Args:
        model: see :class:`recon.synthesis.sampler.FaceSampler`; its expressions bear ARKit's names.
        config: what moves.
        seed: of all random numbers.
        size: (H, W) of the frames in px.
    """

    def __init__(
        self, model: MorphableModel, config: MovingConfig, seed: int = 0, size: tuple[int, int] = (360, 480)
    ) -> None:
        self.config, self.seed, self.size = config, seed, size
        # What the camera does to single frames comes afterwards, a frame for itself; the rest must not flicker.
        still: dict[str, Any] = dict.fromkeys(_SINGLE_FRAMES, 0.0)
        free: dict[str, Any] = {"framing": "free", "field_of_view_deg": config.field_of_view_deg}
        look = dataclasses.replace(config.look, **free, **still, capture=None, identities=0)
        self._camera = SynthesisConfig.clean(noise=1.0 if config.noise else 0.0)
        self._sampler = FaceSampler(model, look, seed, size)
        self.model = self._sampler.model

    @property
    def sampler(self) -> FaceSampler:
        """Gives the same people in other poses, by the same numbers."""
        return self._sampler

    def __call__(self, person: int) -> Iterator[FaceBatch]:
        """The frames of one person's video, each a batch of one."""
        config = self.config
        rng = CounterRng.of(self.seed, [person])
        times_s = torch.arange(config.n_frames) / config.fps
        for first in range(0, config.n_frames, _AT_ONCE):
            at_s = times_s[first : first + _AT_ONCE]
            count = len(at_s)
            heads = sample_heads(self.model, self._sampler.config, self.seed, [person] * count)
            heads = dataclasses.replace(
                heads, expression=self.expression(rng, at_s), poses=self.poses(rng, at_s), capture=None
            )
            scene = self._sampler.scene_of(heads)
            turn = euler_to_matrix(math.radians(_LIGHT_DEG) * _waves(rng, "light", at_s, 3))
            lights = dataclasses.replace(
                scene.lights,
                surroundings=rotate_lighting(scene.lights.surroundings, turn),
                directions=scene.lights.directions @ turn.transpose(1, 2),
            )
            batch = self._sampler.render(dataclasses.replace(scene, lights=lights))
            frames = CounterRng.of(self.seed, [person * config.n_frames + first + k for k in range(count)])
            image = camera_pipeline(srgb_to_linear(batch.image), self._camera, frames)
            batch = dataclasses.replace(batch, image=image)
            yield from (batch.select(k) for k in range(count))

    def poses(self, rng: CounterRng, times_s: Float[Tensor, " t"]) -> HeadPoses:
        """Where the head is at times; smooth."""
        config = self.config
        yaw, pitch, roll = _waves(rng, "turn", times_s, 3).mul(torch.tensor(_TURN_DEG).deg2rad()).unbind(1)
        rotation = euler_to_matrix(config.motion * torch.stack((pitch, yaw, roll), dim=1))
        middle = torch.tensor([0.0, 0.0, -config.distance_mm])
        middle = middle + config.motion * torch.tensor(_SHIFT_MM) * _waves(rng, "shift", times_s, 3)
        translation_mm = middle - rotation @ torch.tensor(HEAD_CENTRE_MM)
        return HeadPoses(rotation, translation_mm, middle.norm(dim=1))

    def expression(self, rng: CounterRng, times_s: Float[Tensor, " t"]) -> Float[Tensor, "t ke"]:
        """Weights at times: each group of expressions rises and falls, lids blink, eyes wander together."""
        names, config = self.model.expression_names, self.config
        weights = torch.zeros(len(times_s), len(names))
        waves = _waves(rng, "expression", times_s, len(_ACTED))
        for k, group in enumerate(_ACTED):
            for name in group:
                # Half of the time at rest, with a smooth onset.
                weights[:, names.index(name)] = (
                    config.expression
                    * 0.5
                    * torch.nn.functional.softplus(4.0 * (waves[:, k] - 0.3)).div(4.0).clamp_max(1.6)
                )
        start_s = float(rng.uniform("blink")[0]) * _BLINK_EVERY_S
        phase = ((times_s - start_s) % _BLINK_EVERY_S / _BLINK_S).clamp(0.0, 1.0)
        for name in _LIDS:
            weights[:, names.index(name)] = config.expression * 0.5 * (1.0 - torch.cos(2.0 * math.pi * phase))
        sideways, upward = (0.5 * config.expression * _waves(rng, "gaze", times_s, 2).clamp(-1.0, 1.0)).unbind(1)
        for name, value in {
            **{
                "eyeLookInLeft": -sideways,
                "eyeLookOutLeft": sideways,
                "eyeLookInRight": sideways,
                "eyeLookOutRight": -sideways,
            },
            **{
                f"eyeLook{way}{side}": sign * upward
                for way, sign in (("Up", 1.0), ("Down", -1.0))
                for side in ("Left", "Right")
            },
        }.items():
            weights[:, names.index(name)] = value.clamp_min(0.0)
        return weights.clamp(0.0, 1.0)


def _waves(rng: CounterRng, name: str, times_s: Float[Tensor, " t"], n: int) -> Float[Tensor, "t n"]:
    """Smooth curves of unit root mean square: three sines each."""
    hertz = rng.uniform(f"{name} hertz", 3, n, low=_HZ[0], high=_HZ[1])[0]
    phase = rng.uniform(f"{name} phase", 3, n, high=2.0 * math.pi)[0]
    return torch.sin(2.0 * math.pi * hertz * times_s[:, None, None] + phase).sum(dim=1) / math.sqrt(1.5)
