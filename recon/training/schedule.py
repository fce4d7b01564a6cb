"""Optimiser and learning-rate schedules."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """How weights are moved. Defaults are the paper's: Adam 5e-5, divided by 10 every 50 epochs.

    Attributes:
        kind: ``adam`` or ``adamw``.
        rate: learning rate after the warm-up.
        weight_decay: for ``adamw``; not applied to biases and norms.
        head_factor: the coefficient head and the FAM start from nothing and may learn faster than the backbone.
        warm_up: steps of linear warm-up.
        schedule: ``step`` divides by 10 every ``step_every`` steps; ``cosine`` goes down to 1 % at ``total``; ``constant``.
        step_every: steps.
        total: steps of the whole run, for ``cosine``.
    """

    kind: Literal["adam", "adamw"] = "adam"
    rate: float = 5e-5
    weight_decay: float = 0.0
    head_factor: float = 1.0
    warm_up: int = 500
    schedule: Literal["step", "cosine", "constant"] = "step"
    step_every: int = 600_000
    total: int = 1_200_000

    def __post_init__(self) -> None:
        if not self.rate > 0.0 or not self.head_factor > 0.0:
            raise ValueError(f"learning rates must be positive, got rate {self.rate}, head_factor {self.head_factor}")
        if self.step_every < 1 or self.total < 1 or self.warm_up < 0:
            raise ValueError("step_every and total must be at least 1, warm_up at least 0")

    def factor(self, step: int) -> float:
        """Learning rate of a step over ``rate``."""
        start = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        if self.schedule == "step":
            return start * 0.1 ** (step // self.step_every)
        if self.schedule == "cosine":
            done = min(1.0, step / self.total)
            return start * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))
        return start


def make_optimiser(model: nn.Module, config: OptimiserConfig, slow: str = "backbone.") -> torch.optim.Optimizer:
    """An optimiser over the trainable parameters; those whose name starts with ``slow`` get the plain rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(slow), parameter.ndim > 1), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.rate * (1.0 if is_slow else config.head_factor),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (is_slow, decays), parameters in groups.items()
    ]
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.kind](settings, lr=config.rate)


def make_scheduler(optimiser: torch.optim.Optimizer, config: OptimiserConfig) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule, to be advanced once a step."""
    # A plain function, because a bound method would be pickled into every checkpoint.
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: config.factor(step))
