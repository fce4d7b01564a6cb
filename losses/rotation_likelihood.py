"""Rotations that know how sure they are: the negative log-likelihood of a Gaussian in the tangent space."""

from __future__ import annotations

import roma
from jaxtyping import Float
from torch import Tensor


def rotation_nll(
    predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"], precision_root: Float[Tensor, "b 3 3"]
) -> Float[Tensor, " b"]:
    """|L^T w|^2 / 2 - log det L of each rotation, w = log(target predicted^T); not reduced, constants left out.

    The density of a Gaussian on SO(3) that is narrow against a half turn (Barfoot and Furgale 2014, Eq. 11).

    Args:
        predicted, target: ``(B, 3, 3)``.
        precision_root: ``(B, 3, 3)`` lower triangular L with a positive diagonal, 1 / rad: w has the covariance (L L^T)^-1.
    """
    w_rad = tangent_error(predicted, target)
    scaled = (precision_root.transpose(-2, -1) @ w_rad[..., None])[..., 0]
    log_det = precision_root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    return 0.5 * scaled.square().sum(dim=-1) - log_det


def tangent_error(predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """Rotation vector w, rad, with target = exp(w) predicted; shorter than pi."""
    return roma.rotmat_to_rotvec(target @ predicted.transpose(-2, -1))
