"""Similarities between point sets: x' = s R x + t."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
    """x' = scale * rotation @ x + translation.

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
    """The similarity (or rigid motion) that brings ``source`` nearest to ``target`` in the least squares.

    Closed form of Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    Reflections are excluded.

    Raises:
        ValueError: fewer than three points, different numbers of points, points that are not finite, or points in one
            place.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or len(a) < 3:
        raise ValueError(f"an alignment needs at least three pairs of points, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("an alignment needs finite points, got nan or inf")
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    spread = float(((a - centre_a) ** 2).sum())
    if spread <= 0.0:
        raise ValueError("an alignment needs points in different places, got all in one")
    u, singular, vt = np.linalg.svd((b - centre_b).T @ (a - centre_a))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ (signs[:, None] * vt)
    scale = float((singular * signs).sum()) / spread if with_scale else 1.0
    return Similarity(scale, rotation, centre_b - scale * rotation @ centre_a)
