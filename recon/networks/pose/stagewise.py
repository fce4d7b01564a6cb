"""Soft stage-wise regression of three angles (Yang et al. 2018, "SSR-Net"; FSA-Net; Eq. 13 of the head pose paper)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

BINS = 3
"""Of every stage."""
RANGE_DEG = 99.0
"""What the sum of the stages is multiplied with."""
_WIDTH, _SHIFT, _WEIGHT = 4, 4, 8
CAPSULE_SIZE = _WIDTH + _SHIFT + _WEIGHT
"""Numbers that a stage reads: for the widths of its bins, for their shifts and for their weights."""


class StageParameters(nn.Module):
    """One capsule to the parameters of one stage, for three angles."""

    def __init__(self) -> None:
        super().__init__()
        self.width = nn.Linear(_WIDTH, 3)
        self.shift = nn.Linear(_SHIFT, 3)
        self.weight = nn.Linear(_WEIGHT, 3 * BINS)
        # All bins alike and alive: a bin whose weight is rectified to 0 in every picture never learns.
        nn.init.zeros_(self.width.bias)
        nn.init.zeros_(self.shift.bias)
        nn.init.constant_(self.weight.bias, 1.0 / BINS)

    def forward(self, capsule: Float[Tensor, "b 16"]) -> tuple[Tensor, Tensor, Tensor]:
        """Delta ``(B, 3)`` and eta ``(B, 3)`` in (-1, 1), p ``(B, 3, 3)`` of each angle's bins, 0 or more (not normalised)."""
        width, shift, weight = capsule.split((_WIDTH, _SHIFT, _WEIGHT), dim=1)
        bins = torch.relu(self.weight(weight)).unflatten(1, (3, BINS))
        return torch.tanh(self.width(width)), torch.tanh(self.shift(shift)), bins


class StagewiseRegression(nn.Module):
    """Capsules, one a stage, to angles: each stage refines what is left by bins a third as wide.

    angle = 99 sum_n sum_i (i - 1 + eta_n) p_n,i / prod_{m <= n} 3 (1 + Delta_m), i = 0, 1, 2.

    Args:
        n_stages: capsules.
    """

    def __init__(self, n_stages: int = 3) -> None:
        super().__init__()
        self.stages = nn.ModuleList(StageParameters() for _ in range(n_stages))

    def forward(self, capsules: Float[Tensor, "b n 16"]) -> Float[Tensor, "b 3"]:
        """Angles in degrees."""
        found = [stage(capsules[:, n]) for n, stage in enumerate(self.stages)]
        return stagewise_angles(*(list(parts) for parts in zip(*found, strict=True)))


def stagewise_angles(
    widths: list[Float[Tensor, "b 3"]], shifts: list[Float[Tensor, "b 3"]], weights: list[Float[Tensor, "b 3 3"]]
) -> Float[Tensor, "b 3"]:
    """The sum of :class:`StagewiseRegression`, of the stages' Delta, eta and p."""
    total, unit = torch.zeros_like(widths[0]), torch.full_like(widths[0], RANGE_DEG)
    places = torch.arange(BINS, device=total.device, dtype=total.dtype) - BINS // 2
    for width, shift, weight in zip(widths, shifts, weights, strict=True):
        unit = unit / (BINS * (1.0 + width))
        total = total + unit * ((places + shift[..., None]) * weight).sum(dim=-1)
    return total
