"""Detected landmarks as a measurement: where each point lies, how sure that is, and which errors points share."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkObservation:
    """N points of a photo with the covariance of their errors.

    The errors, each over its point's sigma, have the covariance I + Q diag(s^2) Q^T: each point errs for itself by one sigma,
    and all together along R modes.

    Attributes:
        points_px: ``(N, 2)`` pixels of the photo.
        sigma_px: ``(N,)`` standard deviation of x and of y that is a point's own; infinite for a point that is not known.
        modes: ``(R, N, 2)`` Q^T, orthonormal, in the axes of the photo.
        mode_sigma: ``(R,)`` s, in sigmas.
    """

    points_px: Float[np.ndarray, "n 2"]
    sigma_px: Float[np.ndarray, " n"]
    modes: Float[np.ndarray, "r n 2"]
    mode_sigma: Float[np.ndarray, " r"]

    def __post_init__(self) -> None:
        count = len(self.points_px)
        if self.points_px.shape != (count, 2) or not np.isfinite(self.points_px).all():
            raise ValueError(f"landmarks must be finite points (N, 2), got shape {self.points_px.shape}")
        if self.sigma_px.shape != (count,) or not (self.sigma_px > 0.0).all():
            raise ValueError(f"{count} landmarks need as many positive sigmas, got shape {self.sigma_px.shape}")
        if self.modes.shape != (len(self.mode_sigma), count, 2):
            raise ValueError(
                f"{len(self.mode_sigma)} modes of {count} landmarks have shape ({len(self.mode_sigma)}, {count}, 2), got "
                f"{self.modes.shape}"
            )

    @classmethod
    def independent(
        cls, points_px: Float[np.ndarray, "n 2"], sigma_px: float | Float[np.ndarray, " n"]
    ) -> LandmarkObservation:
        """Points whose errors have nothing to do with each other."""
        points = np.asarray(points_px, dtype=np.float64)
        sigma = np.broadcast_to(np.asarray(sigma_px, dtype=np.float64), (len(points),)).copy()
        return cls(points, sigma, np.zeros((0, len(points), 2)), np.zeros(0))

    @property
    def size_px(self) -> float:
        """Square root of the area of the points' box."""
        return float(np.sqrt(np.prod(self.points_px.max(axis=0) - self.points_px.min(axis=0))))
