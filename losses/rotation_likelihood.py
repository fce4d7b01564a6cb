"""Rotations that know how sure they are: the negative log-likelihood of a Gaussian in the tangent space."""

from __future__ import annotations

import roma
from jaxtyping import Float
from torch import Tensor


def rotation_nll(
    predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"], precision_root: Float[Tensor, "b 3 3"]
) -> Float[Tensor, " b"]:
    """:func:`tangent_nll` of w = log(target predicted^T) and L^T.

    Args:
        predicted, target: ``(B, 3, 3)``.
        precision_root: ``(B, 3, 3)`` lower triangular L with a positive diagonal, 1 / rad: w has the covariance (L L^T)^-1.
    """
    return tangent_nll(tangent_error(predicted, target), precision_root.transpose(-2, -1))


def tangent_nll(w_rad: Float[Tensor, "b 3"], whitening: Float[Tensor, "b 3 3"]) -> Float[Tensor, " b"]:
    """|W w|^2 / 2 - log det W of each rotation vector; not reduced, constants left out.

    The density of a Gaussian on SO(3) that is narrow against a half turn (Barfoot and Furgale 2014, Eq. 11).

    Args:
        w_rad: ``(B, 3)``.
        whitening: ``(B, 3, 3)`` triangular W with a positive diagonal, 1 / rad: W w has the covariance 1.
    """
    scaled = (whitening @ w_rad[..., None])[..., 0]
    log_det = whitening.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    return 0.5 * scaled.square().sum(dim=-1) - log_det


def tangent_error(predicted: Float[Tensor, "b 3 3"], target: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """Rotation vector w, rad, with target = exp(w) predicted; shorter than pi."""
    return roma.rotmat_to_rotvec(target @ predicted.transpose(-2, -1))
