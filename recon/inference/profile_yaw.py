"""How far a face is turned that has a box and no mesh: what the detectors' silence says, beside what a network says.

MediaPipe's mesh network stops to see faces at about 75 degrees of yaw, its box networks go on to full profiles. And a
regressor is careful: at the end of its range it answers with too little yaw. Both are beliefs about one angle, and their
product is the better one.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import euler_to_matrix, turn_to_ray

_SILENCE_DEG, _SILENCE_SIGMA_DEG = 82.0, 8.0
"""Yaw of faces with a sure box and no mesh: 19 of the 20 in 260 drawn photos with yaw to 90 degrees had 83 on average, with a
standard deviation of 7; the other was covered."""
_NETWORK_SIGMA_DEG = 13.0
"""Rounded down from the shipped network's error on them: 17 degrees, nearly all of it too little yaw."""
_APART_SIGMAS = 2.5
"""Farther apart, the mesh is missing for another reason, as a hand before a face, and the network is believed."""


def turn_to_profile(
    rotation: Float[Tensor, "1 3 3"], translation_mm: Float[Tensor, "1 3"], pivot_mm: Float[Tensor, " 3"]
) -> tuple[Float[Tensor, "1 3 3"], Float[Tensor, "1 3"]]:
    """A pose turned about the head's own upright axis to the likeliest yaw of a face with a box and no mesh.

    Args:
        rotation, translation_mm: what a network says.
        pivot_mm: ``(3,)`` point of the head, object frame, that stays where it is.
    """
    pivot_cam = (rotation @ pivot_mm) + translation_mm
    # Against the ray on which the head is seen.
    seen = (turn_to_ray(pivot_cam).transpose(1, 2) @ rotation)[0]
    yaw_deg = math.degrees(math.atan2(float(seen[0, 2]), float(seen[2, 2])))
    wanted_deg = math.copysign(likely_yaw_deg(abs(yaw_deg)), yaw_deg)
    turn = euler_to_matrix(torch.tensor([[0.0, math.radians(wanted_deg - yaw_deg), 0.0]]).to(rotation))
    turned = rotation @ turn
    return turned, pivot_cam - turned @ pivot_mm


def likely_yaw_deg(network_deg: float) -> float:
    """The mean of the product of both beliefs, degrees; the network's own if they contradict each other."""
    if abs(network_deg - _SILENCE_DEG) > _APART_SIGMAS * math.hypot(_SILENCE_SIGMA_DEG, _NETWORK_SIGMA_DEG):
        return network_deg
    by_silence, by_network = _SILENCE_SIGMA_DEG**-2.0, _NETWORK_SIGMA_DEG**-2.0
    return (by_silence * _SILENCE_DEG + by_network * network_deg) / (by_silence + by_network)
