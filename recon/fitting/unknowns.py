"""The order of a fit's unknowns in one vector, and the step that solves its normal equations within bounds."""

from __future__ import annotations

import dataclasses

import numpy as np

from bfm.data import FloatArray

_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Layout:
    """Identity and albedo first, shared; then for each view: turn, shift, expression, light, zoom.

    Attributes:
        n_identity, n_albedo, n_expression, n_views: sizes.
        n_light: numbers a view's light has, 0 without a picture.
        n_zoom: 1 if the focal length is an unknown.
    """

    n_identity: int
    n_albedo: int
    n_expression: int
    n_views: int
    n_light: int = 0
    n_zoom: int = 0

    @property
    def n_shared(self) -> int:
        return self.n_identity + self.n_albedo

    @property
    def n_own(self) -> int:
        return 6 + self.n_expression + self.n_light + self.n_zoom

    @property
    def n_all(self) -> int:
        return self.n_shared + self.n_views * self.n_own

    @property
    def identity(self) -> slice:
        return slice(0, self.n_identity)

    @property
    def albedo(self) -> slice:
        return slice(self.n_identity, self.n_shared)

    def pose(self, view: int) -> slice:
        """Turn (3, rad, in the camera frame) and shift (3, mm)."""
        start = self.n_shared + view * self.n_own
        return slice(start, start + 6)

    def expression(self, view: int) -> slice:
        start = self.pose(view).stop
        return slice(start, start + self.n_expression)

    def light(self, view: int) -> slice:
        """Coefficients by band, then by channel."""
        start = self.expression(view).stop
        return slice(start, start + self.n_light)

    def zoom(self, view: int) -> slice:
        start = self.light(view).stop
        return slice(start, start + self.n_zoom)

    def of_view(self, view: int) -> np.ndarray:
        """Positions of what one view depends on: the shared unknowns, then its own."""
        start = self.pose(view).start
        return np.concatenate([np.arange(self.n_shared), np.arange(start, start + self.n_own)])


def solve_within(
    normal: FloatArray,
    right: FloatArray,
    positions: np.ndarray,
    now: FloatArray,
    low: float | FloatArray,
    high: float | FloatArray,
) -> FloatArray:
    """The step ``x`` of ``normal @ x = right`` that keeps some unknowns within bounds.

    An unknown whose step would leave the bounds is held at the bound and the rest is solved again.

    Args:
        normal, right: ``(D, D)`` and ``(D,)``.
        positions: ``(N,)`` of the bounded unknowns.
        now: ``(N,)`` their values before the step.
        low, high: the bounds, one for all or ``(N,)``.
    """
    low, high = np.broadcast_to(low, now.shape), np.broadcast_to(high, now.shape)
    step = np.zeros(len(right))
    free = np.ones(len(right), dtype=bool)
    for _ in range(_ROUNDS):
        held = ~free
        step[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free] - normal[np.ix_(free, held)] @ step[held])
        after = now + step[positions]
        outside = ((after < low - 1e-9) | (after > high + 1e-9)) & free[positions]
        if not outside.any():
            break
        step[positions[outside]] = np.clip(after[outside], low[outside], high[outside]) - now[outside]
        free[positions[outside]] = False
    return step
