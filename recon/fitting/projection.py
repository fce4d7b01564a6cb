"""Derivatives of projected points by pose, shape and focal length."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.camera import NEAR_MM, PosedCamera
from recon.fitting.layout import ParameterLayout


def projection_gradients(
    v_cam: Float[Tensor, "n 3"], camera: PosedCamera
) -> tuple[Float[Tensor, "n 2 3"], Float[Tensor, "n 2 3"]]:
    """Derivatives of pixels, px / mm: by a point's own position in the camera frame, and by the translation of the object.

    The pixel is principal + focal (x, -y) / d. Under perspective d is the point's depth, and both are the same; under weak
    perspective it is the depth of the object's origin, which only the translation changes.

    Args:
        v_cam: camera frame.
        camera: one, with one focal length for x and y.
    """
    x, y, _ = v_cam.unbind(-1)
    depth_mm = camera.projection_depth_mm(-v_cam[None, :, 2])[0]
    zero, scale = torch.zeros_like(x), camera.focal_px[0, 0] / depth_mm
    by_translation = torch.stack(
        [torch.stack([scale, zero, scale * x / depth_mm], -1), torch.stack([zero, -scale, -scale * y / depth_mm], -1)],
        -2,
    )
    if camera.model == "perspective":
        return by_translation, by_translation
    return by_translation * by_translation.new_tensor([1.0, 1.0, 0.0]), by_translation


def rotation_gradient(vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Derivative of w x v by the rotation vector w at w = 0."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))


def in_front(v_cam: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points with those nearer than 50 mm, or behind the camera, moved there along its axis."""
    return torch.cat([v_cam[:, :2], v_cam[:, 2:].clamp_max(-NEAR_MM)], dim=1)


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
    camera: PosedCamera,
    layout: ParameterLayout,
) -> Float[Tensor, "n 2 d"]:
    """Derivative of the pixels of points that move with the shape, by the unknowns of one view.

    Args:
        v_rot: object-frame positions rotated into the camera's axes, before the translation.
        v_cam: camera frame.
        basis: mm a unit of identity, then expression, object frame.
        camera: of the view, with the head's pose.
        layout: of one view.
    """
    by_position, by_translation = projection_gradients(v_cam, camera)
    by_shape = torch.bmm(by_position @ camera.rotation[0], basis)
    jacobian = jacobian_of(by_shape, torch.bmm(by_position, rotation_gradient(v_rot)), by_translation, layout)
    if layout.n_focal:
        jacobian[..., layout.focal(0).start] = camera.to_pixels(v_cam[None])[0] - camera.principal_px
    return jacobian
