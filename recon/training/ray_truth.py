"""Truth as a crop can show it: a crop does not show where the picture's middle was, so depth and rotation are told along the ray to
the head."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import turn_to_ray


def depth_along_ray(
    v_cam: Float[Tensor, "b n 3"], translation_mm: Float[Tensor, "b 3"], focal: Float[Tensor, " b"]
) -> Float[Tensor, "b n"]:
    """Depth of points as :class:`recon.networks.landmark_network.LandmarkPrediction` has it: at the scale of the picture where the head's
    origin is, 0 there, growing away from the camera.

    Args:
        v_cam: ``(B, N, 3)`` mm, camera frame.
        translation_mm: ``(B, 3)`` of the head's origin.
        focal: ``(B,)`` focal length in sides of the picture; depth is in the same unit.
    """
    v_ray = v_cam @ turn_to_ray(translation_mm)
    per_mm = focal / -translation_mm[:, 2]  # weak perspective there
    return per_mm[:, None] * (-v_ray[..., 2] - torch.linalg.vector_norm(translation_mm, dim=1)[:, None])


def ray_rotation(rotation: Float[Tensor, "b 3 3"], translation_mm: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Rotations against the ray to the head's origin instead of the camera's axis."""
    return turn_to_ray(translation_mm).transpose(1, 2) @ rotation
