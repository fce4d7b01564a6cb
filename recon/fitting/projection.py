"""Derivatives of projected points by pose, shape and focal length."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.fitting.layout import ParameterLayout

_NEAR_MM = 50.0


def projection_gradient(v_cam: Float[Tensor, "n 3"], focal_px: Float[Tensor, ""]) -> Float[Tensor, "n 2 3"]:
    """Derivative of a point's pixel by its position in the camera frame, px / mm."""
    x, y, z = v_cam.unbind(-1)
    zero, scale = torch.zeros_like(x), -focal_px / z
    return torch.stack(
        [torch.stack([scale, zero, -scale * x / z], -1), torch.stack([zero, -scale, scale * y / z], -1)], -2
    )


def rotation_gradient(vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Derivative of w x v by the rotation vector w at w = 0."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))


def in_front(v_cam: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points with those nearer than 50 mm, or behind the camera, moved there along its axis."""
    return torch.cat([v_cam[:, :2], v_cam[:, 2:].clamp_max(-_NEAR_MM)], dim=1)


def jacobian_of(
    by_shape: Float[Tensor, "n m k"],
    by_rotation: Float[Tensor, "n m 3"],
    by_translation: Float[Tensor, "n m 3"],
    layout: ParameterLayout,
) -> Float[Tensor, "n m d"]:
    """Derivatives in their columns of one view's unknowns; all other columns are zero.

    Args:
        by_shape: by identity, then expression.
        by_rotation: by a rotation vector.
        by_translation: by the translation in mm.
        layout: of one view.
    """
    jacobian = by_shape.new_zeros(*by_shape.shape[:2], layout.n_total)
    jacobian[..., layout.identity] = by_shape[..., : layout.n_identity]
    jacobian[..., layout.expression(0)] = by_shape[..., layout.n_identity :]
    jacobian[..., layout.rotation(0)] = by_rotation
    jacobian[..., layout.translation(0)] = by_translation
    return jacobian


def point_jacobian(
    v_rot: Float[Tensor, "n 3"],
    v_cam: Float[Tensor, "n 3"],
    basis: Float[Tensor, "n 3 k"],
    rotation: Float[Tensor, "3 3"],
    focal_px: Float[Tensor, ""],
    layout: ParameterLayout,
) -> Float[Tensor, "n 2 d"]:
    """Derivative of the pixels of points that move with the shape, by the unknowns of one view.

    Args:
        v_rot: object-frame positions rotated into the camera's axes, before the translation.
        v_cam: camera frame.
        basis: mm a unit of identity, then expression, object frame.
        rotation: object to camera.
        focal_px: of the picture.
        layout: of one view.
    """
    by_position = projection_gradient(v_cam, focal_px)
    by_shape = torch.bmm(by_position @ rotation, basis)
    jacobian = jacobian_of(by_shape, torch.bmm(by_position, rotation_gradient(v_rot)), by_position, layout)
    if layout.n_focal:
        offset_px = focal_px * v_cam[:, :2] * v_cam.new_tensor([1.0, -1.0]) / -v_cam[:, 2:]
        jacobian[..., layout.focal(0).start] = offset_px
    return jacobian
