"""Drawing pictures by a diffusion network: from noise, step by step, with all that is known put back after each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.networks.diffusion.noise_schedule import NoiseSchedule, Target, clean_and_noise

Answer = Callable[[Float[Tensor, "b c h w"], Float[Tensor, " b"]], Float[Tensor, "b c h w"]]
"""A network's answer to a noisy picture at a level."""


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How pictures are drawn.

    Attributes:
        kind: ``ddpm`` (Ho et al. 2020, algorithm 2) or ``ddim`` (Song et al. 2021, without noise of its own, for few steps).
        steps: evenly spaced among those of the schedule; 0 takes all.

    Raises:
        ValueError: an unknown kind or a negative number.
    """

    kind: Literal["ddpm", "ddim"] = "ddim"
    steps: int = 10

    def __post_init__(self) -> None:
        if self.kind not in ("ddpm", "ddim") or type(self.steps) is not int or self.steps < 0:
            raise ValueError(f"sampling is ddpm or ddim in 0 (all) or more steps, got {self.kind!r} and {self.steps!r}")


def _clipped(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    return pictures.clamp(-1.0, 1.0)


def sample(
    answer: Answer,
    known: Float[Tensor, "b c h w"],
    hidden: Bool[Tensor, "b 1 h w"],
    schedule: NoiseSchedule,
    target: Target,
    sampling: SamplingConfig,
    generator: torch.Generator | None = None,
    clip: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]] = _clipped,
) -> Float[Tensor, "b c h w"]:
    """Pictures that agree with what is known.

    The step of ``ddpm`` from level a to the cleaner b is the exact posterior of the noisy picture given the clean one (Ho et al. 2020,
    equation 7): with all steps its mean is ``(y - (1 - alpha) / sqrt(1 - abar) e) / sqrt(alpha)``. (Bigioi et al. 2024 print ``1 /
    sqrt(abar)`` in its place, their equation 6, with which no picture comes out.) Clean pictures are clipped to [-1, 1] at every step.

    Args:
        answer: of the network.
        known: ``(B, C, H, W)``; where it is hidden its values do not matter.
        hidden: ``(B, 1, H, W)`` where pictures are drawn.
        schedule, target: that the network was trained with.
        sampling: kind and number of steps.
        generator: of the noise.
        clip: brings clean pictures to the nearest possible ones; by default into [-1, 1].

    Raises:
        ValueError: more steps than the schedule has.
    """
    levels = schedule.spaced(sampling.steps or schedule.steps)

    def noise() -> Tensor:
        return torch.randn(known.shape, generator=generator).to(known)

    drawn = torch.where(hidden, noise(), known)
    for level, cleaner in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        at = known.new_full((len(known),), level)
        clean, _ = clean_and_noise(drawn, answer(drawn, at), at, target)
        clean = clip(clean)
        spread = max(1.0 - level, 1e-12) ** 0.5
        left = (drawn - level**0.5 * clean) / spread
        if sampling.kind == "ddim":
            step = cleaner**0.5 * clean + (1.0 - cleaner) ** 0.5 * left
        else:
            step = _posterior(drawn, clean, level, cleaner, noise)
        drawn = torch.where(hidden, step, known)
    return drawn


def _posterior(
    drawn: Float[Tensor, "b c h w"],
    clean: Float[Tensor, "b c h w"],
    level: float,
    cleaner: float,
    noise: Callable[[], Tensor],
) -> Float[Tensor, "b c h w"]:
    """A sample of the picture at the cleaner level, given the noisy one and the clean one."""
    alpha = level / cleaner
    apart = max(1.0 - level, 1e-12)
    mean = cleaner**0.5 * (1.0 - alpha) / apart * clean + alpha**0.5 * (1.0 - cleaner) / apart * drawn
    if cleaner >= 1.0:
        return mean
    return mean + ((1.0 - cleaner) / apart * (1.0 - alpha)) ** 0.5 * noise()
