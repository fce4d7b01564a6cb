"""Dense landmarks of one face in a photo, each with its uncertainty."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class DenseLandmarks:
    """N points of a face. Positions are pixels of the photo: x right, y down, centres at +0.5.

    Attributes:
        points_px: ``(N, 3)`` x, y, and depth at the scale of the face, px: 0 at the head's origin (between the eyes), growing
            away from the viewer.
        sigma_px: ``(N,)`` standard deviation of x and of y.
        sigma_depth_px: ``(N,)`` of the depth.
        visible: ``(N,)`` in [0, 1]: how surely the point is inside the picture and not hidden.
        sets: name and number of points of each set, in their order.
    """

    points_px: Float[np.ndarray, "n 3"]
    sigma_px: Float[np.ndarray, " n"]
    sigma_depth_px: Float[np.ndarray, " n"]
    visible: Float[np.ndarray, " n"]
    sets: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        count = sum(size for _, size in self.sets)
        for field in dataclasses.fields(self)[:-1]:
            array = getattr(self, field.name)
            if len(array) != count or not np.isfinite(array).all():
                raise ValueError(f"{field.name} must hold {count} finite values, one a point, got shape {array.shape}")
        if not (self.sigma_px > 0.0).all() or not (self.sigma_depth_px > 0.0).all():
            raise ValueError("standard deviations of landmarks must be positive")

    @property
    def names(self) -> tuple[str, ...]:
        """Sets that can be asked for: ``"68"`` are the first points of ``"520"``."""
        held = tuple(name for name, _ in self.sets)
        return ("68", *held) if "520" in held else held

    def subset(self, name: str) -> DenseLandmarks:
        """One of the sets.

        Raises:
            KeyError: there is none of that name.
        """
        first = 0
        for held, size in self.sets:
            if name == held or (name == "68" and held == "520"):
                return self._part(slice(first, first + (68 if name == "68" else size)), name)
            first += size
        raise KeyError(f"there is no landmark set {name!r}; there are: {', '.join(self.names)}")

    def scaled(self, factor: float) -> DenseLandmarks:
        """The same in a photo resized by ``factor``."""
        return dataclasses.replace(
            self,
            points_px=self.points_px * factor,
            sigma_px=self.sigma_px * factor,
            sigma_depth_px=self.sigma_depth_px * factor,
        )

    def _part(self, rows: slice, name: str) -> DenseLandmarks:
        points = self.points_px[rows]
        return DenseLandmarks(
            points, self.sigma_px[rows], self.sigma_depth_px[rows], self.visible[rows], ((name, len(points)),)
        )
