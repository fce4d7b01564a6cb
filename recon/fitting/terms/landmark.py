"""What detected landmarks say: where each point lies, with errors that points share.

Where the errors of a detector were measured (``recon calibrate``), residuals are whitened by their covariance. Points of other
detectors err together as well, in ways that nobody knows: a whole eye may be a few pixels off. Of those, the distance between
two lids or lips, the difference of two neighbours, is known much better than either point, and it is what tells a smile from a
sulk. So is the thickness of each lip: stretched over the teeth they are thin.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.landmarks import OPENINGS_68
from recon.fitting.landmark_model import LandmarkModel, visibility_weight
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import in_front, point_jacobian
from recon.fitting.robust import geman_mcclure
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import LandmarkTensors, ViewAtState

LIPS: dict[str, tuple[tuple[int, int], ...]] = {
    "68": OPENINGS_68[4:7],
    "478": ((80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318)),
}
"""Upper and lower point of each opening of the inner lips, by landmark set."""

THICKNESSES: dict[str, tuple[tuple[int, int], ...]] = {
    "68": ((50, 61), (51, 62), (52, 63), (67, 58), (66, 57), (65, 56)),
    "478": ((37, 82), (0, 13), (267, 312), (87, 84), (14, 17), (317, 314)),
}
"""Upper and lower point of the red of each lip, by landmark set."""

DISTANCES: dict[str, tuple[tuple[int, int], ...]] = {
    "68": (*OPENINGS_68[:4], *LIPS["68"], *THICKNESSES["68"]),
    # MediaPipe's face mesh: lids of the eye on the viewer's left, then right.
    "478": (
        *((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380)),
        *(*LIPS["478"], *THICKNESSES["478"]),
    ),
}
"""Pairs of neighbours whose distance is known better than they are: openings of lids and lips, and thicknesses of lips."""

_OUTLIER2 = 9.0
"""Squared residual, in variances, at which a point counts a quarter."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkTerm:
    """Projected landmarks against detected ones.

    Attributes:
        model: the face at its landmarks.
        tolerance: factor on the squared residual at which a calibrated point counts as an outlier. Large at first, where residuals
            are the start's and not the detector's (graduated non-convexity).
        distances: pairs of points whose distance is known better than they are, of detectors that were not calibrated.
        opening_sharpness: how many times smaller the standard deviation of such a distance is than that of a point; 0
            leaves distances out.
    """

    model: LandmarkModel
    tolerance: float = 1.0
    distances: tuple[tuple[int, int], ...] = ()
    opening_sharpness: float = 0.0

    def linearize(self, face: ViewAtState, layout: ParameterLayout) -> LinearizedTerm:
        """Rows of one view: two a point, two a distance; residuals are model minus photo."""
        state, view, index = face.state, face.view, face.index
        like = self.model.mean
        camera = state.camera(view, index).to(like)
        rotation = camera.rotation[0]
        v_rot = self.model.points_obj(state.parameters.identity[0], state.parameters.expression[index]) @ rotation.T
        v_cam = v_rot + camera.translation_mm[0]
        v_near = in_front(v_cam)
        residual_px = camera.to_pixels(v_near[None])[0] - view.landmarks.points_px.to(like)
        jacobian = point_jacobian(v_rot, v_near, self.model.basis, camera, layout.single_view)
        if view.landmarks.calibrated:
            rows, residual = whitened_rows(jacobian, residual_px, view.landmarks, self.tolerance)
            return LinearizedTerm(rows, residual, layout.view_columns(index).to(rows.device))
        precision = view.landmarks.sigma_px.to(like) ** -2.0
        confidence = torch.ones_like(precision)
        if view.visibility is None:
            # A first guess: it weighs points, but says nothing of how far off they may be.
            towards = -camera.view_rays(v_cam[None])[0]
            confidence = visibility_weight(((self.model.normals @ rotation.T) * towards).sum(dim=1))
        else:
            precision = precision * view.visibility.to(like)
        rows, residual = landmark_rows(
            jacobian, residual_px, precision, self.distances, self.opening_sharpness, confidence
        )
        return LinearizedTerm(rows, residual, layout.view_columns(index).to(rows.device))


def landmark_rows(
    jacobian: Float[Tensor, "n 2 d"],
    residual_px: Float[Tensor, "n 2"],
    precision: Float[Tensor, " n"],
    distances: tuple[tuple[int, int], ...],
    opening_sharpness: float,
    confidence: Float[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "r d"], Float[Tensor, " r"]]:
    """Weighted rows and residuals of points and distances.

    Args:
        jacobian: derivative of each point's pixel by the unknowns.
        residual_px: projected minus detected points.
        precision: one over the variance of each point, 1/px^2.
        distances, opening_sharpness: see :class:`LandmarkTerm`.
        confidence: further weight of each point, whatever its residual; ones if ``None``.
    """
    confidence = torch.ones_like(precision) if confidence is None else confidence
    rows, residuals, precisions, confidences = [jacobian], [residual_px], [precision], [confidence]
    if distances and opening_sharpness > 0.0:
        first, second = torch.tensor(distances, device=residual_px.device).T
        rows.append(jacobian[first] - jacobian[second])
        residuals.append(residual_px[first] - residual_px[second])
        precisions.append(torch.minimum(precision[first], precision[second]) * opening_sharpness**2)
        confidences.append(torch.minimum(confidence[first], confidence[second]))
    residual, weight = torch.cat(residuals), torch.cat(precisions)
    weight_robust = weight * geman_mcclure(residual.square().sum(-1) * weight, _OUTLIER2)
    roots = (torch.cat(confidences) * weight_robust).sqrt()[:, None]
    return (torch.cat(rows) * roots[..., None]).flatten(0, 1), (residual * roots).flatten()


def whitened_rows(
    jacobian: Float[Tensor, "n 2 d"], residual_px: Float[Tensor, "n 2"], errors: LandmarkTensors, tolerance: float = 1.0
) -> tuple[Float[Tensor, "r d"], Float[Tensor, " r"]]:
    """Rows and residuals whose errors are independent and of unit variance, see
    :class:`recon.detection.observation.LandmarkObservation`.

    Over their own sigmas, bias added, the errors have the covariance I + Q diag(s^2) Q^T, whose inverse root is
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
    rows = (jacobian * inverse_sigma[:, None, None]).flatten(0, 1)
    residual = residual_px * inverse_sigma[:, None] + known * errors.bias.to(residual_px)
    axes, sigma = errors.modes.to(residual_px).flatten(1), errors.mode_sigma.to(residual_px)
    variance = 1.0 + (sigma[:, None] * axes).square().sum(dim=0).view(-1, 2).sum(dim=1) / 2.0
    root = (geman_mcclure(residual.square().sum(-1) / variance, _OUTLIER2 * tolerance)[:, None].sqrt() * known).expand(
        -1, 2
    )
    rows, values = rows * root.flatten()[:, None], (residual * root).flatten()
    shrink = (1.0 + sigma.square()).rsqrt() - 1.0
    return rows + axes.T @ (shrink[:, None] * (axes @ rows)), values + axes.T @ (shrink * (axes @ values))
