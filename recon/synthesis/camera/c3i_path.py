"""Cameras and heads sampled in the three capture modes of the published synthetic depth set (Basak et al. 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.datasets.c3i_world import DISTANCE_M, MODES, TO_WORLD, Capture
from recon.rotation import euler_to_matrix
from recon.synthesis.counter_rng import CounterRng

_HEAD_POINT_M = (0.0, 0.0, 1.65)
_STEP_DEG, _MOST_DEG = 3.0, 30.0
_NOD_DEG = (0.0, 20.0, -20.0)


def sample_capture(rng: CounterRng) -> Capture:
    """One capture a sample, of the three modes in equal parts."""
    device = rng.device
    mode = rng.integer("capture mode", len(MODES))
    batch = len(rng.keys)
    head = torch.tensor(_HEAD_POINT_M, device=device).expand(batch, 3)
    steps = int(_MOST_DEG / _STEP_DEG)
    yaw = _STEP_DEG * (rng.integer("capture yaw", 2 * steps + 1) - steps).float()
    nod = torch.tensor(_NOD_DEG, device=device)[rng.integer("capture nod", len(_NOD_DEG))]
    turned = (mode != MODES.index("CameraTran")).float()
    zero = torch.zeros_like(yaw)
    head_rotation = euler_to_matrix(torch.deg2rad(torch.stack((turned * nod, zero, turned * yaw), dim=1)))
    start = head - torch.tensor([0.0, DISTANCE_M, 0.0], device=device)
    moved = torch.stack(
        (rng.uniform("capture x", low=0.001, high=0.140), zero, rng.uniform("capture z", low=0.001, high=0.04)), 1
    )
    phi = torch.deg2rad(rng.uniform("capture phi", low=60.0, high=120.0))
    theta = torch.deg2rad(rng.uniform("capture theta", low=-45.0, high=45.0))
    sphere = torch.stack((-theta.sin() * phi.sin(), -theta.cos() * phi.sin(), phi.cos()), dim=1)
    camera = torch.where((mode == 1)[:, None], start + moved, start)
    camera = torch.where((mode == 2)[:, None], head + DISTANCE_M * sphere, camera)
    rest = torch.tensor(TO_WORLD, device=device).expand(batch, 3, 3)
    rotation = torch.where((mode == 2)[:, None, None], _aimed(head - camera), rest)
    return Capture(mode, camera, head, rotation, head_rotation)


def _aimed(direction: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Cameras that look along a direction with the world's z up in the picture."""
    back = -torch.nn.functional.normalize(direction, dim=1)
    up = direction.new_tensor([0.0, 0.0, 1.0]).expand_as(back)
    right = torch.nn.functional.normalize(torch.linalg.cross(up, back), dim=1)
    return torch.stack((right, torch.linalg.cross(back, right), back), dim=-1)
