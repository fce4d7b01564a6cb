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
from recon.fitting.state import FitView, ViewState

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
    """

    model: LandmarkModel

    def linearize(self, face: ViewState, layout: ParameterLayout) -> Rows:
        """Two rows a point of one view; residuals are model minus photo."""
        state, view, index = face.state, face.view, face.index
        like = self.model.mean
        camera = state.camera(view, index).to(like)
        rotation = camera.rotation[0]
        v_rot = self.model.points_obj(state.face.identity[0], state.face.expression[index]) @ rotation.T
        v_near = in_front(v_rot + camera.translation_mm[0])
        residual_px = camera.to_pixels(v_near[None])[0] - view.points_pix.to(like)
        jacobian = point_jacobian(v_rot, v_near, self.model.basis, camera, layout.single_view)
        rows, residual = whitened_rows(jacobian, residual_px, view)
        return Rows(rows, residual, layout.view_columns(index).to(rows.device))


def whitened_rows(
    jacobian: Float[Tensor, "n 2 d"], residual_px: Float[Tensor, "n 2"], view: FitView
) -> tuple[Float[Tensor, "r d"], Float[Tensor, " r"]]:
    """Rows and residuals whose errors are independent and of unit variance.

    Over their own sigmas the errors have the covariance I + Q diag(s^2) Q^T, whose inverse root is
    I + Q diag((1 + s^2)^(-1/2) - 1) Q^T. A point that lies far beyond its own and its shared error counts less
    (Geman-McClure).

    Args:
        jacobian: derivative of each point's pixel by the unknowns.
        residual_px: projected minus detected points.
        view: with the points' errors.
    """
    inverse_sigma = view.point_sigma_px.to(residual_px) ** -1.0
    modes, mode_sigma = view.point_modes.to(residual_px), view.mode_sigma.to(residual_px)
    scaled = residual_px * inverse_sigma[:, None]
    shared_variance = (mode_sigma[:, None, None] * modes).square().sum(dim=(0, 2)) / 2.0
    weight = geman_mcclure(scaled.square().sum(-1) / (1.0 + shared_variance), _OUTLIER2)
    factor = (inverse_sigma * weight.sqrt())[:, None]
    rows, residual = (jacobian * factor[..., None]).flatten(0, 1), (residual_px * factor).flatten()
    axes = modes.flatten(1)  # (R, 2N)
    shrink = (1.0 + mode_sigma.square()).rsqrt() - 1.0
    return rows + axes.T @ (shrink[:, None] * (axes @ rows)), residual + axes.T @ (shrink * (axes @ residual))
