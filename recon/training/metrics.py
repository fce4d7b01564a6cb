"""How good predictions are on faces whose truth is known."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.rotation import matrix_to_euler, rotation_angle


def landmark_error_percent(
    predicted_px: Float[Tensor, "b n 2"], target_px: Float[Tensor, "b n 2"]
) -> Float[Tensor, " b"]:
    """NME (Eq. 15 of the reconstruction paper): mean distance over sqrt(h w) of the true landmarks' box, percent."""
    extent = target_px.amax(dim=1) - target_px.amin(dim=1)
    size_px = extent.prod(dim=-1).clamp_min(1e-6).sqrt()
    return 100.0 * torch.linalg.vector_norm(predicted_px - target_px, dim=-1).mean(dim=-1) / size_px


def pose_error_deg(predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"]) -> Float[Tensor, " b"]:
    """Mean absolute error of pitch, yaw and roll, degrees."""
    difference = matrix_to_euler(predicted) - matrix_to_euler(target)
    wrapped = torch.remainder(difference + torch.pi, 2.0 * torch.pi) - torch.pi
    return torch.rad2deg(wrapped.abs().mean(dim=-1))


def geodesic_error_deg(predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"]) -> Float[Tensor, " b"]:
    """Angle between the rotations, degrees."""
    return torch.rad2deg(rotation_angle(predicted, target))


def depth_error_mm(
    predicted_mm: Float[Tensor, "b 1 h w"], target_mm: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Mean absolute difference of depth in mm over the mask: as it is, and after the median difference of each picture is
    taken out (the relief). nan for a picture with an empty mask."""
    difference_mm = torch.where(mask, predicted_mm - target_mm, torch.nan).flatten(1)
    centred = difference_mm - difference_mm.nanmedian(dim=1, keepdim=True).values
    return difference_mm.abs().nanmean(dim=1), centred.abs().nanmean(dim=1)
