"""How much noise a picture has at each step of a diffusion, and what a network that sees it is asked for.

A noisy picture is ``y = sqrt(level) x + sqrt(1 - level) e`` (Ho et al. 2020, equation 4; ``level`` is their alpha-bar): at 1 it is clean, at
0 it is noise. Networks are told a level from the whole range and not a step's number (Chen et al. 2021, "WaveGrad"), so that pictures can
be drawn in fewer steps than were trained.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Target = Literal["noise", "velocity"]
_COSINE_OFFSET = 0.008
_LARGEST_RATE = 0.999
_TINY = 1e-8


@dataclasses.dataclass(frozen=True)
class NoiseSchedule:
    """Levels of a diffusion.

    Attributes:
        kind: ``linear`` (Ho et al. 2020: the noise that a step adds rises from ``first`` to ``last``) or ``cosine`` (Nichol and Dhariwal
            2021, equation 17).
        steps: of the whole diffusion.
        first, last: of ``linear``.

    Raises:
        ValueError: an unknown kind, no steps, or noise that no step adds.
    """

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = 2000
    first: float = 1e-6
    last: float = 0.01

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "cosine"):
            raise ValueError(f"a noise schedule is 'linear' or 'cosine', got {self.kind!r}")
        if type(self.steps) is not int or not 1 <= self.steps <= 100_000:
            raise ValueError(f"a diffusion has 1 to 100000 steps, got {self.steps!r}")
        if not 0.0 < self.first <= self.last < 1.0:
            raise ValueError(f"first and last must rise within (0, 1), got {self.first} and {self.last}")

    @functools.cached_property
    def levels(self) -> Float[Tensor, " t1"]:
        """``(steps + 1,)`` float64: of the clean picture, which is 1, and after each step."""
        if self.kind == "linear":
            added = torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)
        else:
            at = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
            curve = torch.cos((at + _COSINE_OFFSET) / (1.0 + _COSINE_OFFSET) * math.pi / 2.0).square()
            added = (1.0 - curve[1:] / curve[:-1]).clamp(max=_LARGEST_RATE)
        return torch.cat((torch.ones(1, dtype=torch.float64), torch.cumprod(1.0 - added, dim=0)))

    def random_levels(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, " b"]:
        """Levels for training: a random step, and between it and the one before it a random level."""
        step = torch.randint(1, self.steps + 1, (count,), generator=generator)
        share = torch.rand(count, generator=generator, dtype=torch.float64)
        low, high = self.levels[step], self.levels[step - 1]
        return (low + share * (high - low)).float()

    def spaced(self, count: int) -> Float[Tensor, " n1"]:
        """``(count + 1,)`` levels from noise to the clean picture, evenly spaced in steps.

        Raises:
            ValueError: no steps, or more than the schedule has.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"a picture is drawn in 1 to {self.steps} steps, got {count}")
        at = torch.linspace(self.steps, 0, count + 1, dtype=torch.float64).round().long()
        return self.levels[at]


def noisy(
    clean: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], level: Float[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """The picture at a level."""
    level = level.to(clean.dtype)[:, None, None, None]
    return level.sqrt() * clean + (1.0 - level).sqrt() * noise


def target_of(
    clean: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], level: Float[Tensor, " b"], target: Target
) -> Float[Tensor, "b c h w"]:
    """What the network is asked for: the noise (Ho et al. 2020), or the velocity ``sqrt(level) e - sqrt(1 - level) x`` (Salimans and Ho
    2022), which tells as much about the picture at every level."""
    if target == "noise":
        return noise
    level = level.to(clean.dtype)[:, None, None, None]
    return level.sqrt() * noise - (1.0 - level).sqrt() * clean


def clean_and_noise(
    seen: Float[Tensor, "b c h w"], answer: Float[Tensor, "b c h w"], level: Float[Tensor, " b"], target: Target
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """The clean picture and the noise that an answer means; the inverse of :func:`target_of`."""
    level = level.to(seen.dtype)[:, None, None, None]
    signal, spread = level.sqrt(), (1.0 - level).sqrt()
    if target == "velocity":
        return signal * seen - spread * answer, spread * seen + signal * answer
    return (seen - spread * answer) / signal.clamp_min(_TINY), answer
