"""The editor's U-Net: a frame whose lower face is noise, the frame before, a frame of the same person and a voice in; what the noise is out.

Bigioi et al. 2024, section 3.3 and table 1 (docs/papers.md): the U-Net of Dhariwal and Nichol 2021, whose residual blocks also hear the
voice. ``configs/dub`` has the two published configurations, and a small one of our own.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from recon.networks.diffusion.blocks import ConditionalBlock, SelfAttention, group_norm, level_embedding
from recon.networks.diffusion.noise_schedule import NoiseSchedule, Target

Voice = Literal["mel", "articulators"]
VOICE_BANDS: dict[str, int] = {"mel": 256, "articulators": 8}
"""Numbers that each kind of voice has for a time."""
GUIDE_CHANNELS = 4
"""Colours that a driven face model tells of a frame, and what it shows there, see :class:`recon.dubbing.mouth_guide.MouthGuide`."""
INSIDE_MOUTH = 200
"""Code values of a guide's last channel above which it shows the inside of the mouth."""


@dataclasses.dataclass(frozen=True)
class EditorConfig:
    """How an editor is built.

    Attributes:
        size: side of its crops, px.
        patch: pixels of a side that are one place for the network; 1 as published, 2 costs a quarter.
        channels: of the first level.
        multiples: channels of each level over these; every level halves the picture.
        attention_px: sides of the pictures (in places) at which levels attend to themselves; the middle always does.
        blocks: residual blocks a level.
        head_channels: of an attention head.
        dropout: in residual blocks.
        voice: ``mel``: log-mel spectrum, as published; ``articulators``: what the speech network hears in it.
        window: times of a voice that are heard for a frame; the frame's is the middle one.
        guide: channels of the picture that a driven face model gives: 0, as published, or :data:`GUIDE_CHANNELS`.
        follows: whether the frame before is seen, as published. Videos then go on from what was drawn, and its errors add up ("a buildup of
            small errors", section 4.4); without it each frame is drawn from the person's frame and the voice alone.
        difference: 0, as published: noise is added to pictures. Otherwise to what they differ by from the guide, or without one from the
            person's frame, times this number: a network that has learnt nothing then draws that.
        schedule: of the noise.
        target: what is asked for.
        draw_steps: of sampling, unless a caller says otherwise; 0: all of the schedule.

    Raises:
        ValueError: an impossible value, named.
    """

    size: int = 128
    patch: int = 1
    channels: int = 64
    multiples: tuple[int, ...] = (1, 2, 4, 8)
    attention_px: tuple[int, ...] = ()
    blocks: int = 2
    head_channels: int = 32
    dropout: float = 0.2
    voice: Voice = "mel"
    window: int = 5
    guide: int = 0
    follows: bool = True
    difference: float = 0.0
    schedule: NoiseSchedule = dataclasses.field(default_factory=NoiseSchedule)
    target: Target = "noise"
    draw_steps: int = 10

    def __post_init__(self) -> None:
        for name, least, most in (
            ("size", 8, 1024),
            ("patch", 1, 16),
            ("channels", 8, 1024),
            ("blocks", 1, 16),
            ("head_channels", 1, 1024),
            ("window", 1, 99),
            ("draw_steps", 0, 100_000),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, got {str(value)[:40]!r}")
        if not 1 <= len(self.multiples) <= 8 or any(type(m) is not int or not 1 <= m <= 64 for m in self.multiples):
            raise ValueError(f"multiples must be 1 to 8 whole numbers from 1 to 64, got {str(self.multiples)[:80]}")
        if self.guide not in (0, GUIDE_CHANNELS):
            raise ValueError(f"guide must be 0 or {GUIDE_CHANNELS}, got {str(self.guide)[:40]!r}")
        if self.voice not in VOICE_BANDS or self.target not in ("noise", "velocity"):
            raise ValueError(f"voice is mel or articulators, target noise or velocity; got {self.voice}, {self.target}")
        if not 0.0 <= self.difference <= 100.0:
            raise ValueError(f"difference must lie in 0 to 100, got {self.difference}")
        if not 0.0 <= self.dropout < 1.0 or self.window % 2 == 0:
            raise ValueError(f"dropout lies in [0, 1) and window is odd, got {self.dropout} and {self.window}")
        smallest = self.patch * 2 ** (len(self.multiples) - 1)
        if self.size % smallest:
            raise ValueError(
                f"size must be a multiple of {smallest} for this patch and so many levels, got {self.size}"
            )
        sides = [self.size // self.patch >> level for level in range(len(self.multiples))]
        for name, sided in (("attention_px", self.attention_px),):
            if not set(sided) <= set(sides):
                raise ValueError(f"{name} must be among the levels' sides {sides}, got {sided}")
        attended = [m for m, side in zip(self.multiples, sides, strict=True) if side in self.attention_px]
        if any(self.channels * m % self.head_channels for m in (*attended, self.multiples[-1])):
            raise ValueError(f"head_channels must divide the channels that attend, got {self.head_channels}")

    @property
    def inputs(self) -> int:
        """Channels of what the network sees: two or three pictures and the guide."""
        return (9 if self.follows else 6) + self.guide


class EditorNetwork(nn.Module):
    """Pictures ``(B, inputs, S, S)``, noise levels ``(B,)`` and voices ``(B, window, bands)`` to answers ``(B, 3, S, S)``.

    Channels: the frame (or its difference) with noise in its rectangle, the frame before if it is seen, the person, the guide; pictures are
    in [-1, 1].

    Args:
        config: how it is built.
    """

    def __init__(self, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels * multiple for multiple in config.multiples]
        embedding = 4 * config.channels
        area = config.patch**2
        self.by_level = nn.Sequential(nn.Linear(config.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.by_voice = nn.Linear(config.window * VOICE_BANDS[config.voice], embedding)
        self.first = nn.Conv2d(config.inputs * area, widths[0], 3, padding=1)
        self.down, skips = self._descent(widths, embedding)
        self.middle = _Stage(
            ConditionalBlock(widths[-1], widths[-1], embedding, config.dropout),
            SelfAttention(widths[-1], config.head_channels),
            ConditionalBlock(widths[-1], widths[-1], embedding, config.dropout),
        )
        self.up = self._ascent(widths, skips, embedding)
        last = nn.Conv2d(widths[0], 3 * area, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.last = nn.Sequential(group_norm(widths[0]), nn.SiLU(), last)

    def _attends(self, level: int) -> bool:
        return self.config.size // self.config.patch >> level in self.config.attention_px

    def _stage(self, inputs: int, outputs: int, embedding: int, level: int) -> list[nn.Module]:
        block = ConditionalBlock(inputs, outputs, embedding, self.config.dropout)
        return [block, SelfAttention(outputs, self.config.head_channels)] if self._attends(level) else [block]

    def _descent(self, widths: list[int], embedding: int) -> tuple[nn.ModuleList, list[int]]:
        """Stages downwards, and the channels that each leaves for the way up."""
        stages, skips, width = nn.ModuleList(), [widths[0]], widths[0]
        for level, wanted in enumerate(widths):
            for _ in range(self.config.blocks):
                stages.append(_Stage(*self._stage(width, wanted, embedding, level)))
                width = wanted
                skips.append(width)
            if level + 1 < len(widths):
                stages.append(_Stage(ConditionalBlock(width, width, embedding, self.config.dropout, "down")))
                skips.append(width)
        return stages, skips

    def _ascent(self, widths: list[int], skips: list[int], embedding: int) -> nn.ModuleList:
        stages, width, left = nn.ModuleList(), widths[-1], list(skips)
        for level in reversed(range(len(widths))):
            for number in range(self.config.blocks + 1):
                parts = self._stage(width + left.pop(), widths[level], embedding, level)
                width = widths[level]
                if level and number == self.config.blocks:
                    parts.append(ConditionalBlock(width, width, embedding, self.config.dropout, "up"))
                stages.append(_Stage(*parts))
        return stages

    def forward(
        self, seen: Float[Tensor, "b c s s"], level: Float[Tensor, " b"], voice: Float[Tensor, "b n bands"]
    ) -> Float[Tensor, "b 3 s s"]:
        """The answer, see :func:`recon.networks.diffusion.noise_schedule.target_of`."""
        patch = self.config.patch
        at_level = self.by_level(level_embedding(level, self.config.channels))
        heard = self.by_voice(voice.flatten(1))
        hidden = self.first(nn.functional.pixel_unshuffle(seen, patch))
        left = [hidden]
        for stage in self.down:
            hidden = stage(hidden, at_level, heard)
            left.append(hidden)
        hidden = self.middle(hidden, at_level, heard)
        for stage in self.up:
            hidden = stage(torch.cat((hidden, left.pop()), dim=1), at_level, heard)
        return nn.functional.pixel_shuffle(self.last(hidden), patch)


@dataclasses.dataclass(frozen=True, eq=False)
class SeenBeside:
    """What a network sees beside the frame that it draws.

    Attributes:
        previous: ``(B, 3, S, S)`` the frames before, in [-1, 1].
        person: ``(B, 3, S, S)`` frames of the same people.
        guide: ``(B, G, S, S)`` what a driven face model tells, or G = 0.
        voice: ``(B, window, bands)``.
    """

    previous: Float[Tensor, "b 3 s s"]
    person: Float[Tensor, "b 3 s s"]
    guide: Float[Tensor, "b g s s"]
    voice: Float[Tensor, "b n bands"]

    @property
    def drawn_from(self) -> Float[Tensor, "b 3 s s"]:
        """What comes nearest to the frames: the guide's colours, or the person's frames."""
        return self.guide[:, :3] if self.guide.shape[1] else self.person

    @property
    def inside_mouth(self) -> Bool[Tensor, "b 1 s s"]:
        """Where the guide shows the inside of the mouth, and a pixel about it. What an editor draws there is the mean of all openings that it
        holds possible, in which none is sharp: the guide knows better."""
        if not self.guide.shape[1]:
            return torch.zeros_like(self.person[:, :1], dtype=torch.bool)
        inside = (self.guide[:, 3:] > INSIDE_MOUTH / 127.5 - 1.0).float()
        return nn.functional.max_pool2d(inside, 3, stride=1, padding=1) > 0.0

    def coded(self, pictures: Float[Tensor, "b 3 s s"], config: EditorConfig) -> Float[Tensor, "b 3 s s"]:
        """Pictures as noise is added to them."""
        return config.difference * (pictures - self.drawn_from) if config.difference else pictures

    def decoded(self, coded: Float[Tensor, "b 3 s s"], config: EditorConfig) -> Float[Tensor, "b 3 s s"]:
        """The inverse of :meth:`coded`."""
        return coded / config.difference + self.drawn_from if config.difference else coded

    def answer(
        self, network: EditorNetwork, drawn: Float[Tensor, "b 3 s s"], level: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 3 s s"]:
        """The network's answer to coded frames with noise in what is hidden."""
        before = [self.previous] if network.config.follows else []
        return network(torch.cat((drawn, *before, self.person, self.guide), dim=1), level, self.voice)


class _Stage(nn.Module):
    """Blocks one after the other, those told of level and voice that want them."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, hidden: Tensor, level: Tensor, voice: Tensor) -> Tensor:
        for part in self.parts:
            hidden = part(hidden, level, voice) if isinstance(part, ConditionalBlock) else part(hidden)
        return hidden
