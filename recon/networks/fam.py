"""Feature aggregation: coarse features refine the next finer ones (Eqs. 7 and 8 of the reconstruction paper).

The paper's tables give the three blocks about 0.6 M parameters together, which full 3 x 3 convolutions at these widths
cannot have; so the convolutions are depth-wise, and ``recon complexity`` reports what that costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FeatureAggregation(nn.Module):
    """FAM: coarse f1 (N, C1) and fine f2 (4N, C2) to (4N, C2).

    ``a = Up(f1)``, ``b = Linear(Conv(f2))``, ``f_mid = [a, b, a * b]`` (Eq. 7), ``f_out = Linear(Conv(f_mid))`` (Eq. 8).

    Args:
        coarse: channels C1 of f1; 2D in Swin.
        fine: channels C2 of f2; D in Swin.
        hidden: channels in which the two meet; ``None`` is C1 as in the paper. Fewer first reduce ``a`` by a linear layer,
            for networks whose last stage is very wide.
        norm: normalise f_mid, which Eqs. 7 and 8 do not: a * b is of fourth order in the weights, and half precision
            overflows without.
    """

    def __init__(self, coarse: int, fine: int, hidden: int | None = None, norm: bool = True) -> None:
        super().__init__()
        width = coarse if hidden is None else hidden
        self.reduce = nn.Identity() if width == coarse else nn.Conv2d(coarse, width, 1)
        self.fine_conv = nn.Conv2d(fine, fine, 3, padding=1, groups=fine)
        self.fine_linear = nn.Conv2d(fine, width, 1)
        self.norm = nn.GroupNorm(1, 3 * width) if norm else nn.Identity()
        self.mid_conv = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.mid_linear = nn.Conv2d(3 * width, fine, 1)

    def forward(self, coarse: Float[Tensor, "b c1 h1 w1"], fine: Float[Tensor, "b c2 h2 w2"]) -> Tensor:
        """Refined fine features ``(B, C2, H2, W2)``."""
        a = nn.functional.interpolate(self.reduce(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        b = self.fine_linear(self.fine_conv(fine))
        mid = self.norm(torch.cat((a, b, a * b), dim=1))
        out: Tensor = self.mid_linear(self.mid_conv(mid))
        return out


class AggregationPyramid(nn.Module):
    """FAM three times, coarse to fine: F1+F2 -> F2', F2'+F3 -> F3', F3'+F4 -> F4'.

    Args:
        channels: of the maps, the coarsest first.
        hidden, norm: see :class:`FeatureAggregation`.
    """

    def __init__(self, channels: Sequence[int], hidden: int | None = None, norm: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            FeatureAggregation(coarse, fine, hidden, norm)
            for coarse, fine in zip(channels[:-1], channels[1:], strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The coarsest map as it is, then the refined ones."""
        refined = [maps[0]]
        for block, fine in zip(self.blocks, maps[1:], strict=True):
            refined.append(block(refined[-1], fine))
        return refined
