"""Detected landmarks as a measurement: where each point lies, how sure that is, and which errors points share."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkObservation:
    """N points y of a photo, and how they follow from the true points p.

    With the residual of each point over its own sigma, u = (p - y) / sigma,

        u + bias ~ N(0, I + Q diag(s^2) Q^T):

    each point errs for itself by one sigma, all together along R modes. Flattened vectors hold x and y of a point side by side.

    Attributes:
        points_px: ``(N, 2)`` y, pixels of the photo.
        sigma_px: ``(N,)`` standard deviation of x and of y that is a point's own; infinite for a point that is not known.
        modes: ``(R, N, 2)`` Q^T, orthonormal, in the axes of the photo.
        mode_sigma: ``(R,)`` s, in sigmas.
        bias: ``(N, 2)`` in sigmas.
        calibrated: whether all this was measured; otherwise the sigmas are a guess that makes up for what points share.
    """

    points_px: Float[np.ndarray, "n 2"]
    sigma_px: Float[np.ndarray, " n"]
    modes: Float[np.ndarray, "r n 2"]
    mode_sigma: Float[np.ndarray, " r"]
    bias: Float[np.ndarray, "n 2"]
    calibrated: bool = True

    def __post_init__(self) -> None:
        count = len(self.points_px)
        if self.points_px.shape != (count, 2) or not np.isfinite(self.points_px).all():
            raise ValueError(f"landmarks must be finite points (N, 2), got shape {self.points_px.shape}")
        if self.sigma_px.shape != (count,) or not (self.sigma_px > 0.0).all():
            raise ValueError(f"{count} landmarks need as many positive sigmas, got shape {self.sigma_px.shape}")

    @classmethod
    def independent(
        cls, points_px: Float[np.ndarray, "n 2"], sigma_px: float | Float[np.ndarray, " n"]
    ) -> LandmarkObservation:
        """Points whose errors have nothing to do with each other, or with where they are."""
        points = np.asarray(points_px, dtype=np.float64)
        sigma = np.broadcast_to(np.asarray(sigma_px, dtype=np.float64), (len(points),)).copy()
        none = np.zeros((0, len(points), 2))
        return cls(points, sigma, none, np.zeros(0), np.zeros_like(points), calibrated=False)

    @property
    def size_px(self) -> float:
        """Square root of the area of the points' box."""
        return float(np.sqrt(np.prod(self.points_px.max(axis=0) - self.points_px.min(axis=0))))
