"""The second phase of domain adaptation: which synthetic face goes with which picture of the target, and how strongly the gradient
of the domain is reversed.

The head pose paper (VII-B) takes the synthetic sample whose label is nearest to the pose that the first phase's network predicts
for a target picture, so that both domains have the same poses in the second phase and aligning their features does not align
different poses (negative transfer).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Variant = Literal["transductive", "inductive"]


@dataclasses.dataclass(frozen=True)
class PairingConfig:
    """Which source sample goes with a target picture.

    Attributes:
        jitter_deg: a prediction is moved by as much at most in each angle, anew in each pass, before the nearest sample is
            taken; 0 takes the same sample always (the paper), 2 is what its released program has.

    Raises:
        ValueError: a negative one.
    """

    jitter_deg: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter_deg <= 90.0:
            raise ValueError(f"pairing.jitter_deg must lie in [0, 90], got {self.jitter_deg}")


@dataclasses.dataclass(frozen=True)
class ReversalConfig:
    """Strength mu of the reversed gradient.

    Attributes:
        kind: ``ramp``: from 0 to ``strength`` by 2 / (1 + exp(-10 p)) - 1 with p the share of the run that is done (Ganin et al.
            2016, Section 5.2.2); ``constant``: ``strength`` always.
        strength: largest mu.
        domain: weight of the domain classifier's loss.

    Raises:
        ValueError: a negative number.
    """

    kind: Literal["ramp", "constant"] = "ramp"
    strength: float = 1.0
    domain: float = 1.0

    def __post_init__(self) -> None:
        for name in ("strength", "domain"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"reversal.{name} must be 0 or more, got {getattr(self, name)}")

    def mu(self, done: float) -> float:
        """At a share of the run, [0, 1]."""
        if self.kind == "constant":
            return self.strength
        return self.strength * (2.0 / (1.0 + math.exp(-10.0 * min(1.0, done))) - 1.0)


def nearest_source(
    predicted_deg: Float[Tensor, "t 3"],
    source_deg: Float[Tensor, "n 3"],
    jitter_deg: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " t"]:
    """For each target picture the source sample with the least mean squared difference of the three angles.

    Args:
        predicted_deg: ``(T, 3)`` of target pictures.
        source_deg: ``(N, 3)`` labels.
        jitter_deg: see :class:`PairingConfig`.
        generator: of the jitter.
    """
    moved = predicted_deg
    if jitter_deg > 0.0:
        moved = moved + jitter_deg * (2.0 * torch.rand(moved.shape, generator=generator).to(moved) - 1.0)
    return torch.cdist(moved, source_deg).argmin(dim=1)


def adaptation_rows(names: Sequence[str], variant: Variant, held_out: float) -> tuple[list[int], list[int]]:
    """Rows of target pictures to adapt to, and rows that are kept for testing.

    ``transductive``: all are adapted to, and testing on the same pictures is testing on what was adapted to (unlabelled), as in the
    paper. ``inductive``: a share of the people, by the folders below the target's, or else of the pictures is kept out by a hash of
    their name.

    Args:
        names: paths below the target's folder.
        variant: which of the two.
        held_out: share that an inductive run keeps out.

    Raises:
        ValueError: an inductive run in which one of both parts is empty.
    """
    if variant == "transductive":
        return list(range(len(names))), []
    groups = [name.split("/")[0] for name in names]
    kept = [_share_of(group) < held_out for group in groups]
    adapted, tested = ([row for row, out in enumerate(kept) if out is wanted] for wanted in (False, True))
    if not adapted or not tested:
        raise ValueError(
            f"an inductive run keeps a share of {held_out} of {len(set(groups))} groups of target pictures for testing, and one of "
            "both parts is empty; change target.held_out, or give more pictures"
        )
    return adapted, tested


def _share_of(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2.0**64
