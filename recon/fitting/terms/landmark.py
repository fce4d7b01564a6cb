"""What detected landmarks say: where each point lies, with errors that points share."""

from __future__ import annotations

import dataclasses

from jaxtyping import Float
from torch import Tensor

from bfm.landmarks import OPENINGS_68
from recon.fitting.landmark_model import LandmarkModel
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import in_front, point_jacobian
from recon.fitting.robust import geman_mcclure
from recon.fitting.solver import Rows
from recon.fitting.state import PointErrors, ViewState

LIPS: dict[str, tuple[tuple[int, int], ...]] = {
    "68": OPENINGS_68[4:7],
    "478": ((80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318)),
}
"""Upper and lower point of each opening of the inner lips, by landmark set."""

_OUTLIER2 = 9.0
"""Squared residual, in variances, at which a point counts a quarter."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkTerm:
    """Projected landmarks against detected ones, whitened by the covariance of the detector's errors.

    Attributes:
        model: the face at its landmarks.
        tolerance: factor on the squared residual at which a point counts as an outlier. Large at first, where residuals are the
            start's and not the detector's (graduated non-convexity).
    """

    model: LandmarkModel
    tolerance: float = 1.0

    def linearize(self, face: ViewState, layout: ParameterLayout) -> Rows:
        """Two rows a point of one view; residuals are model minus photo."""
        state, view, index = face.state, face.view, face.index
        like = self.model.mean
        camera = state.camera(view, index).to(like)
        rotation = camera.rotation[0]
        v_rot = self.model.points_obj(state.face.identity[0], state.face.expression[index]) @ rotation.T
        v_near = in_front(v_rot + camera.translation_mm[0])
        residual_px = camera.to_pixels(v_near[None])[0] - view.points.points_px.to(like)
        jacobian = point_jacobian(v_rot, v_near, self.model.basis, camera, layout.single_view)
        rows, residual = whitened_rows(jacobian, residual_px, view.points, self.tolerance)
        return Rows(rows, residual, layout.view_columns(index).to(rows.device))


def whitened_rows(
    jacobian: Float[Tensor, "n 2 d"], residual_px: Float[Tensor, "n 2"], errors: PointErrors, tolerance: float = 1.0
) -> tuple[Float[Tensor, "r d"], Float[Tensor, " r"]]:
    """Rows and residuals whose errors are independent and of unit variance, see
    :class:`recon.detection.observation.LandmarkObservation`.

    Over their own sigmas, bias and gain added, the errors have the covariance I + Q diag(s^2) Q^T, whose inverse root is
    I + Q diag((1 + s^2)^(-1/2) - 1) Q^T. A point that lies far beyond its own and its shared error counts less
    (Geman-McClure).

    Args:
        jacobian: derivative of each point's pixel by the unknowns.
        residual_px: projected minus detected points.
        errors: of the detector.
        tolerance: see :class:`LandmarkTerm`.
    """
    inverse_sigma = errors.sigma_px.to(residual_px) ** -1.0
    known = (inverse_sigma > 0.0).to(residual_px)[:, None]
    direction, gain = errors.gain_direction.to(residual_px).flatten(1), errors.gain.to(residual_px).flatten(1)
    rows = (jacobian * inverse_sigma[:, None, None]).flatten(0, 1) + gain.T @ (direction @ jacobian.flatten(0, 1))
    shared = (gain.T @ (direction @ residual_px.flatten())).view(-1, 2) + errors.bias.to(residual_px)
    residual = residual_px * inverse_sigma[:, None] + known * shared
    axes, sigma = errors.modes.to(residual_px).flatten(1), errors.mode_sigma.to(residual_px)
    variance = 1.0 + (sigma[:, None] * axes).square().sum(dim=0).view(-1, 2).sum(dim=1) / 2.0
    root = (geman_mcclure(residual.square().sum(-1) / variance, _OUTLIER2 * tolerance)[:, None].sqrt() * known).expand(
        -1, 2
    )
    rows, values = rows * root.flatten()[:, None], (residual * root).flatten()
    shrink = (1.0 + sigma.square()).rsqrt() - 1.0
    return rows + axes.T @ (shrink[:, None] * (axes @ rows)), values + axes.T @ (shrink * (axes @ values))
