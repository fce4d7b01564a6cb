"""The order of a fit's unknowns in one vector."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class ParameterLayout:
    """Identity and albedo first, shared by all views; then for each view: rotation, translation, expression, lighting,
    focal scale.

    Attributes:
        n_identity, n_albedo, n_expression, n_views: sizes; an ``n_albedo`` of 0 leaves albedo out.
        n_lighting: numbers of a view's lighting: 27, 9 for white light, 0 to leave it out.
        n_focal: 1 if the focal length is an unknown.
    """

    n_identity: int
    n_albedo: int
    n_expression: int
    n_views: int
    n_lighting: int = 0
    n_focal: int = 0

    @property
    def n_shared(self) -> int:
        return self.n_identity + self.n_albedo

    @property
    def n_per_view(self) -> int:
        return 6 + self.n_expression + self.n_lighting + self.n_focal

    @property
    def n_total(self) -> int:
        return self.n_shared + self.n_views * self.n_per_view

    @property
    def single_view(self) -> ParameterLayout:
        """The layout of what one view depends on, in the order of :meth:`view_columns`."""
        return dataclasses.replace(self, n_views=1)

    @property
    def identity(self) -> slice:
        return slice(0, self.n_identity)

    @property
    def albedo(self) -> slice:
        return slice(self.n_identity, self.n_shared)

    def rotation(self, view: int) -> slice:
        """Rotation vector, rad, in the camera frame."""
        start = self.n_shared + view * self.n_per_view
        return slice(start, start + 3)

    def translation(self, view: int) -> slice:
        """mm, in the camera frame."""
        start = self.rotation(view).stop
        return slice(start, start + 3)

    def expression(self, view: int) -> slice:
        start = self.translation(view).stop
        return slice(start, start + self.n_expression)

    def lighting(self, view: int) -> slice:
        """Coefficients by band, then by channel unless light is white."""
        start = self.expression(view).stop
        return slice(start, start + self.n_lighting)

    def focal(self, view: int) -> slice:
        """Logarithm of the focal length over the assumed one."""
        start = self.lighting(view).stop
        return slice(start, start + self.n_focal)

    def view_columns(self, view: int) -> Int[Tensor, " d"]:
        """Positions of what one view depends on: the shared unknowns, then its own."""
        start = self.rotation(view).start
        return torch.cat([torch.arange(self.n_shared), torch.arange(start, start + self.n_per_view)])
