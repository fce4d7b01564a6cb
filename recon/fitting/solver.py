"""Bounded Gauss-Newton: terms give weighted rows, the solver adds them up and steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

_MAX_ROUNDS = 10
_BOUND_SLACK = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class LinearizedTerm:
    """A linearised term: R weighted residuals and their derivatives.

    Attributes:
        jacobian: ``(R, d)`` derivatives of the residuals.
        residual: ``(R,)`` model minus measurement over its standard deviation.
        columns: ``(d,)`` positions of the derivatives' unknowns in the vector of all; ``None`` if they are all.
    """

    jacobian: Float[Tensor, "r d"]
    residual: Float[Tensor, " r"]
    columns: Int[Tensor, " d"] | None = None

    def scaled(self, factor: float) -> LinearizedTerm:
        """The same term with another weight: its energy times the factor."""
        root = factor**0.5
        return dataclasses.replace(self, jacobian=self.jacobian * root, residual=self.residual * root)


def normal_equations(terms: Iterable[LinearizedTerm], n: int) -> tuple[Float[Tensor, "n n"], Float[Tensor, " n"]]:
    """Sum of ``J^T J`` and of ``-J^T r`` over terms, float64."""
    normal: Tensor | None = None
    right = torch.zeros(0)
    for rows in terms:
        if normal is None:
            normal = rows.jacobian.new_zeros(n, n, dtype=torch.float64)
            right = rows.jacobian.new_zeros(n, dtype=torch.float64)
        hessian = (rows.jacobian.T @ rows.jacobian).double()
        gradient = (rows.jacobian.T @ rows.residual).double()
        if rows.columns is None:
            normal += hessian
            right -= gradient
        else:
            normal[rows.columns[:, None], rows.columns] += hessian
            right[rows.columns] -= gradient
    assert normal is not None, "a fit has terms"
    return normal, right


def solve_bounded(
    normal: Float[Tensor, "d d"], right: Float[Tensor, " d"], low: Float[Tensor, " d"], high: Float[Tensor, " d"]
) -> Float[Tensor, " d"]:
    """The step ``x`` of ``normal @ x = right`` within ``low <= x <= high``.

    An unknown whose step would leave its bounds is held at the bound and the rest is solved again: an active set that only grows.
    """
    step = torch.zeros_like(right)
    free = torch.ones_like(right, dtype=torch.bool)
    for _ in range(_MAX_ROUNDS):
        at = torch.nonzero(free)[:, 0]
        free_right = right[at] - normal[at] @ torch.where(free, 0.0, step)
        step[at] = torch.linalg.solve(normal[at[:, None], at], free_right)
        outside = ((step < low - _BOUND_SLACK) | (step > high + _BOUND_SLACK)) & free
        if not bool(outside.any()):
            break
        step = torch.where(outside, step.clamp(low, high), step)
        free &= ~outside
    return step
