"""How depth maps are measured in validation: each picture over its skin of known depth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.facial_depth import weighted_mean


def depth_metrics(
    predicted_mm: Float[Tensor, "b 1 h w"], true_mm: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> dict[str, Float[Tensor, " b"]]:
    """Errors by name: ``rmse_mm``; ``abs_rel``, the mean of |d - g| / g; and ``scaled_rmse_mm``, after the median of g / d
    has scaled the prediction. A picture without such pixels counts as 0."""
    weights = mask.to(predicted_mm.dtype)
    true = torch.where(mask, true_mm, 1.0)
    error = torch.where(mask, predicted_mm - true, 0.0)
    ratio = torch.where(mask, true / predicted_mm.clamp_min(1e-3), torch.nan).flatten(1).nanmedian(dim=1).values
    scale = ratio.nan_to_num(1.0)[:, None, None, None]
    scaled = torch.where(mask, scale * predicted_mm - true, 0.0)
    return {
        "rmse_mm": weighted_mean(error.square(), weights).sqrt(),
        "abs_rel": weighted_mean(error.abs() / true, weights),
        "scaled_rmse_mm": weighted_mean(scaled.square(), weights).sqrt(),
    }


def normals_error_deg(
    predicted: Float[Tensor, "b 3 h w"], true: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """Mean angle between unit normals."""
    angle = 2.0 * torch.atan2(
        (predicted - true).norm(dim=1, keepdim=True), (predicted + true).norm(dim=1, keepdim=True)
    )
    return weighted_mean(torch.rad2deg(torch.where(mask, angle, 0.0)), mask.to(predicted.dtype))
