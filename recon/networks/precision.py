"""Parts of a network whose numbers are no place for halves: positions and rotations."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device_type: str) -> AbstractContextManager[object]:
    """Autocast switched off inside, where it is on.

    Args:
        device_type: of the tensors, as ``tensor.device.type``.
    """
    if device_type in ("cpu", "cuda") and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
