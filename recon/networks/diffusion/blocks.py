"""Parts of the U-Net: residual blocks that hear the noise level and the voice, and attention."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Resize = Literal["up", "down"]


def group_norm(channels: int) -> nn.GroupNorm:
    """Up to 32 groups, as many as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


def level_embedding(level: Float[Tensor, " b"], width: int) -> Float[Tensor, "b width"]:
    """Sines and cosines of the root of a noise level, at frequencies from 1 to 10 000."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(1e4), width // 2, device=level.device))
    angle_rad = level.sqrt()[:, None] * frequencies
    return torch.cat((angle_rad.sin(), angle_rad.cos()), dim=1)


class ConditionalBlock(nn.Module):
    """A residual block whose normalised features are scaled and shifted by the noise level and then by the voice.

    ``z_s (t_s GN(h) + t_b) + z_b`` (Bigioi et al. 2024, section 3.3, on Dhariwal and Nichol's block); scales are written as 1 plus what is
    learnt. It starts as the identity.

    Args:
        inputs, outputs: channels.
        embedding: width of what noise level and voice are embedded in.
        dropout: before the last convolution.
        resize: halve or double the picture on the way.
    """

    def __init__(
        self, inputs: int, outputs: int, embedding: int, dropout: float = 0.0, resize: Resize | None = None
    ) -> None:
        super().__init__()
        self.resize = resize
        self.first_norm, self.first = group_norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = group_norm(outputs)
        self.by_level = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.by_voice = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.last = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), _zero(nn.Conv2d(outputs, outputs, 3, padding=1)))
        self.skip: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, hidden: Float[Tensor, "b c h w"], level: Float[Tensor, "b e"], voice: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c2 h2 w2"]:
        """Features after the block."""
        moved = nn.functional.silu(self.first_norm(hidden))
        if self.resize is not None:
            hidden, moved = _resized(hidden, self.resize), _resized(moved, self.resize)
        moved = self.norm(self.first(moved))
        for condition in (self.by_level(level), self.by_voice(voice)):
            scale, shift = condition[:, :, None, None].chunk(2, dim=1)
            moved = (1.0 + scale) * moved + shift
        return self.skip(hidden) + self.last(moved)


class SelfAttention(nn.Module):
    """Each place of a picture looks at all others. It starts as the identity.

    Args:
        channels: of the features.
        head_channels: of each head; they must divide the channels.
    """

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm, self.ask = group_norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.answer = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Features after it."""
        b, c, h, w = hidden.shape
        asked = self.ask(self.norm(hidden)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(3, 4)
        found = nn.functional.scaled_dot_product_attention(*asked.unbind(1))
        return hidden + self.answer(found.transpose(2, 3).reshape(b, c, h, w))


def _resized(hidden: Tensor, resize: Resize) -> Tensor:
    if resize == "down":
        return nn.functional.avg_pool2d(hidden, 2)
    return nn.functional.interpolate(hidden, scale_factor=2.0, mode="nearest")


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
