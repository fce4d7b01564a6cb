"""Yaw of a face that has a box and no mesh: the product of two Gaussians, of the missing mesh and of a network's answer.

MediaPipe's mesh network finds few faces in full profile, while its box networks find them: that a mesh is missing tells the
yaw. A regressor underestimates it at the end of its range. The mean of the product of both densities is nearer to the truth
than either.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import euler_to_matrix, turn_to_ray

_MEAN_YAW_WITHOUT_MESH_DEG, _YAW_SIGMA_WITHOUT_MESH_DEG = 82.0, 8.0
"""Yaw of faces with a sure box and no mesh: 19 of the 20 in 260 rendered photos with yaw to 90 degrees had 83 on average, with a
standard deviation of 7; the other was covered."""
_NETWORK_SIGMA_DEG = 13.0
"""Rounded down from the shipped network's error on them: 17 degrees, nearly all of it too little yaw."""
_MOST_SIGMAS_APART = 2.5
"""If the two are farther apart, the mesh is missing for another reason, such as a hand before the face, and the network's answer stays."""


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
    """Mean of the product of both densities, degrees; the network's answer if they are too far apart."""
    if abs(network_deg - _MEAN_YAW_WITHOUT_MESH_DEG) > _MOST_SIGMAS_APART * math.hypot(
        _YAW_SIGMA_WITHOUT_MESH_DEG, _NETWORK_SIGMA_DEG
    ):
        return network_deg
    no_mesh_precision, network_precision = _YAW_SIGMA_WITHOUT_MESH_DEG**-2.0, _NETWORK_SIGMA_DEG**-2.0
    return (no_mesh_precision * _MEAN_YAW_WITHOUT_MESH_DEG + network_precision * network_deg) / (
        no_mesh_precision + network_precision
    )
