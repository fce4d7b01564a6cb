"""Alignment of point sets: similarities in the plane and in space, and scaled orthography.

Both are least squares in closed form. The similarity is that of Umeyama, "Least-squares estimation of transformation
parameters between two point patterns", 1991; reflections are excluded.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def umeyama(
    source: Float[Tensor, "b n d"], target: Float[Tensor, "b n d"], *, with_scale: bool = True
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b d d"], Float[Tensor, "b d"]]:
    """Scale, rotation and translation that bring source nearest to target: x' = s R x + t.

    Source points that coincide have no scale and give 0.

    Args:
        source, target: ``(B, N, D)`` pairs of points, D = 2 or 3, in any unit.
        with_scale: False fixes the scale at 1, for a rigid motion.

    Raises:
        ValueError: points that are not in a plane or in space.
    """
    if source.shape[-1] not in (2, 3):
        raise ValueError(f"points are aligned in 2 or 3 dimensions, got {source.shape[-1]}")
    centre_s, centre_t = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    a, b = source - centre_s, target - centre_t
    variance = a.square().sum(dim=(1, 2)).clamp_min(1e-12)
    if source.shape[-1] == 2:
        rotation, correlation = _planar(a, b)
    else:
        rotation, correlation = _spatial(a, b)
    scale = correlation / variance if with_scale else torch.ones_like(variance)
    translation = (centre_t - scale[:, None, None] * centre_s @ rotation.transpose(1, 2))[:, 0]
    return scale, rotation, translation


def _planar(a: Float[Tensor, "b n 2"], b: Float[Tensor, "b n 2"]) -> tuple[Tensor, Tensor]:
    """Rotation, and the sum of products of b with the turned a. In the plane both follow from one complex number."""
    real = (a * b).sum(dim=(1, 2))
    imaginary = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=1)
    angle = torch.atan2(imaginary, real)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=1)
    return rotation, torch.hypot(real, imaginary)


def _spatial(a: Float[Tensor, "b n 3"], b: Float[Tensor, "b n 3"]) -> tuple[Tensor, Tensor]:
    """As :func:`_planar`, by the singular values of the covariance."""
    u, singular, vt = torch.linalg.svd(b.transpose(1, 2) @ a)
    signs = torch.ones_like(singular)
    signs[:, -1] = torch.sign(torch.linalg.det(u @ vt))
    return u @ (signs[:, :, None] * vt), (singular * signs).sum(dim=1)


def planar_angle(source: Float[Tensor, "b n 2"], target: Float[Tensor, "b n 2"]) -> Float[Tensor, " b"]:
    """Angle in radians, (-pi, pi], of the similarity from source to target, from the first axis towards the second."""
    rotation = umeyama(source, target)[1]
    return torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])


def scaled_orthography(
    points_obj: Float[Tensor, "n 3"], points_image: Float[Tensor, "b n 2"], weights: Float[Tensor, "b n"] | None = None
) -> tuple[Float[Tensor, "b 2 3"], Float[Tensor, "b 2"]]:
    """The affine view of points in space that lies nearest to their image: u = rows x + origin.

    The two rows would be orthogonal and of equal length, the scale, if the image were a scaled orthographic one.

    Args:
        points_obj: ``(N, 3)`` in mm, object frame.
        points_image: ``(B, N, 2)`` where they are seen, in any unit and frame of the picture.
        weights: ``(B, N)`` of the squared distances; ``None`` is 1 for all.

    Returns:
        ``(B, 2, 3)`` units of the picture a mm, and ``(B, 2)`` where the object's origin is seen.

    Raises:
        ValueError: the points that have a weight lie in a plane, so that no view follows.
    """
    design = torch.cat((points_obj, torch.ones_like(points_obj[:, :1])), dim=1)[None]
    if weights is not None:
        root = weights.sqrt()[..., None]
        design, points_image = design * root, points_image * root
    if int(torch.linalg.matrix_rank(design).min()) < 4:
        raise ValueError("scaled orthography needs points that do not lie in one plane, on one line or in one spot")
    solution = torch.linalg.pinv(design) @ points_image
    return solution[:, :3].transpose(1, 2), solution[:, 3]


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
    """x' = scale * rotation @ x + translation, in float64.

    Attributes:
        scale: positive; 1 for a rigid motion.
        rotation: ``(3, 3)``.
        translation: ``(3,)``, in the unit of the points.
    """

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, " 3"]

    @classmethod
    def identity(cls) -> Similarity:
        """The motion that moves nothing."""
        return cls(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Moved points."""
        return self.scale * np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def then(self, second: Similarity) -> Similarity:
        """This one first, then ``second``."""
        return Similarity(
            self.scale * second.scale,
            second.rotation @ self.rotation,
            second.scale * second.rotation @ self.translation + second.translation,
        )

    def inverse(self) -> Similarity:
        """The way back."""
        rotation = self.rotation.T
        return Similarity(1.0 / self.scale, rotation, -rotation @ self.translation / self.scale)


def fit_similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "_m 3"], *, with_scale: bool = True
) -> Similarity:
    """:func:`umeyama` of one pair of point sets in space, checked.

    Raises:
        ValueError: fewer than three points, different numbers of points, points that are not finite, or points in one
            place.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or len(a) < 3:
        raise ValueError(f"an alignment needs at least three pairs of points, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("an alignment needs finite points, got nan or inf")
    if float(((a - a.mean(axis=0)) ** 2).sum()) <= 0.0:
        raise ValueError("an alignment needs points in different places, got all in one")
    scale, rotation, translation = umeyama(torch.tensor(a)[None], torch.tensor(b)[None], with_scale=with_scale)
    return Similarity(float(scale), rotation[0].numpy(), translation[0].numpy())
