"""How likely an error of a rotation is under a Gaussian in the tangent space."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def rotation_nll(error_rad: Float[Tensor, "b 3"], precision_root: Float[Tensor, "b 3 3"]) -> Float[Tensor, " b"]:
    """0.5 |L r|^2 - log det L; not reduced, constants left out.

    A concentrated Gaussian on SO(3) (Barfoot and Furgale 2014, "Associating uncertainty with three-dimensional poses for use in
    estimation problems", Eq. 12), for errors far below a half turn.

    Args:
        error_rad: ``(B, 3)`` rotation vectors r, radians.
        precision_root: ``(B, 3, 3)`` lower triangles L with a positive diagonal; L^T L is the inverse covariance of r.
    """
    scaled = (precision_root @ error_rad[..., None])[..., 0]
    log_determinant = precision_root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    return 0.5 * scaled.square().sum(dim=-1) - log_determinant
