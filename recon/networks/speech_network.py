"""The speech network: log-mel features of a voice in, the motion of a mouth out, as it is heard.

A stack of causal dilated convolutions (as in WaveNet, van den Oord et al. 2016, without its gates): what it gives at a time depends on a
fixed stretch of the past, which is carried from one piece of sound to the next, so that pieces of any size give the same numbers.
Lips move before they are heard: an answer is about a time a little before the last feature, :attr:`SpeechNetworkConfig.lookahead`.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MIN_STD = 1e-2


@dataclasses.dataclass(frozen=True)
class SpeechNetworkConfig:
    """How a speech network is built.

    Attributes:
        bands: of its features.
        outputs: numbers that it tells of a time, each in [0, 1].
        width: of its layers.
        kernel: features that a convolution sees.
        dilations: of the convolutions, one after the other.
        lookahead: features that it hears before it answers for a time.

    Raises:
        ValueError: an impossible value, named.
    """

    bands: int = 256
    outputs: int = 8
    width: int = 160
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    lookahead: int = 6

    def __post_init__(self) -> None:
        for name, least, most in (
            ("bands", 1, 4096),
            ("outputs", 1, 1024),
            ("width", 1, 4096),
            ("kernel", 1, 64),
            ("lookahead", 0, 1024),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, got {str(value)[:40]!r}")
        if not 1 <= len(self.dilations) <= 64 or any(type(d) is not int or not 1 <= d <= 4096 for d in self.dilations):
            raise ValueError(f"dilations must be 1 to 64 whole numbers from 1 to 4096, got {str(self.dilations)[:80]}")


SpeechState = tuple[Tensor, ...]
"""What each convolution has seen last: ``(B, width, (kernel - 1) dilation)``."""


class SpeechNetwork(nn.Module):
    """Features ``(B, N, bands)`` to motion ``(B, N, outputs)``.

    Args:
        config: how it is built.

    Attributes:
        mean, std: ``(bands,)`` of features.
    """

    mean: Float[Tensor, " bands"]
    std: Float[Tensor, " bands"]

    def __init__(self, config: SpeechNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.bands))
        self.register_buffer("std", torch.ones(config.bands))
        width = config.width
        self.first = nn.Linear(config.bands, width)
        self.blocks = nn.ModuleList(_CausalBlock(width, config.kernel, dilation) for dilation in config.dilations)
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.outputs))

    def start_from(self, mean: Float[Tensor, " bands"], std: Float[Tensor, " bands"]) -> None:
        """Take mean and standard deviation of a training set's features."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(_MIN_STD))

    def initial_state(self, batch: int = 1) -> SpeechState:
        """Before any sound."""
        return tuple(
            self.mean.new_zeros(batch, self.config.width, (self.config.kernel - 1) * dilation)
            for dilation in self.config.dilations
        )

    def forward(self, features: Float[Tensor, "b n bands"]) -> Float[Tensor, "b n outputs"]:
        """The motion of a whole sound: number k is about the time of feature ``k - lookahead``."""
        return torch.sigmoid(self.step(features, self.initial_state(len(features)))[0])

    def step(
        self, features: Float[Tensor, "b n bands"], state: SpeechState
    ) -> tuple[Float[Tensor, "b n outputs"], SpeechState]:
        """Go on with a piece of a sound.

        Args:
            features: ``(B, N, bands)``; N may be any number from 1.
            state: that the piece before left.

        Returns:
            Logits of the motion, and the state for the next piece.
        """
        hidden = nn.functional.gelu(self.first((features - self.mean) / self.std)).transpose(1, 2)
        left = []
        for block, seen in zip(self.blocks, state, strict=True):
            hidden, seen = block(hidden, seen)
            left.append(seen)
        return self.last(hidden.transpose(1, 2)), tuple(left)


class _CausalBlock(nn.Module):
    """A residual block whose convolution sees the past alone."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Float[Tensor, "b c n"], seen: Float[Tensor, "b c k"]) -> tuple[Tensor, Tensor]:
        normed = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        context = torch.cat((seen, normed), dim=2)
        moved = self.mix(nn.functional.gelu(self.convolution(context)))
        return hidden + moved, context[:, :, context.shape[2] - seen.shape[2] :]
