"""Landmarks as rows of the normal equations: where each point lies, and how far eyes and mouth are open.

Detected points err together: a whole eye may be a few pixels off. The opening between two lids or lips, the difference of
two neighbours, is known much better than either point, and it is what tells a smile from a sulk. So is the thickness of
each lip: stretched over the teeth they are thin.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.landmarks import OPENINGS_68
from recon.fitting.surface import projection_gradient, spin_gradient
from recon.fitting.unknowns import Layout

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

OPENINGS: dict[str, tuple[tuple[int, int], ...]] = {
    "68": (*OPENINGS_68[:4], *LIPS["68"], *THICKNESSES["68"]),
    # MediaPipe's face mesh: lids of the right and of the left eye.
    "478": (
        *((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380)),
        *(*LIPS["478"], *THICKNESSES["478"]),
    ),
}
"""Pairs of neighbours whose distance is known better than they are: openings of lids and lips, and thicknesses of lips."""

_OUTLIER2 = 9.0
"""Squared gap, in variances, at which a row counts a quarter (Geman and McClure)."""


def landmark_rows(
    jacobian: Float[Tensor, "n 2 d"],
    gaps_px: Float[Tensor, "n 2"],
    precision: Float[Tensor, " n"],
    openings: tuple[tuple[int, int], ...],
    sharpness: float,
) -> tuple[Float[Tensor, "r d"], Float[Tensor, " r"]]:
    """Weighted rows and residuals of points and openings.

    Args:
        jacobian: derivative of each point's pixel by the unknowns.
        gaps_px: projected minus detected points.
        precision: one over the variance of each point, 1/px^2.
        openings: pairs of points.
        sharpness: how many times smaller the standard deviation of an opening is than that of a point; 0 leaves
            openings out.
    """
    rows, residuals = [jacobian], [gaps_px]
    weights = [precision]
    if openings and sharpness > 0.0:
        upper, lower = torch.tensor(openings, device=gaps_px.device).T
        rows.append(jacobian[upper] - jacobian[lower])
        residuals.append(gaps_px[upper] - gaps_px[lower])
        weights.append(torch.minimum(precision[upper], precision[lower]) * sharpness**2)
    gaps, weight = torch.cat(residuals), torch.cat(weights)
    robust = weight / (1.0 + gaps.square().sum(-1) * weight / _OUTLIER2) ** 2
    roots = robust.sqrt()[:, None]
    return (torch.cat(rows) * roots[..., None]).flatten(0, 1), (gaps * roots).flatten()


def points_jacobian(
    turned: Float[Tensor, "n 3"],
    v_cam: Float[Tensor, "n 3"],
    basis: Float[Tensor, "n 3 k"],
    rotation: Float[Tensor, "3 3"],
    focal_px: Float[Tensor, ""],
    layout: Layout,
) -> Float[Tensor, "n 2 d"]:
    """Derivative of the pixels of points that move with the shape, by the unknowns of one view.

    Args:
        turned: object-frame positions turned into the camera's axes, before the shift.
        v_cam: camera frame.
        basis: mm a unit of identity, then expression, object frame.
        rotation: object to camera.
        focal_px: of the crop.
        layout: of one view.
    """
    by_position = projection_gradient(v_cam, focal_px)
    by_shape = torch.bmm(by_position @ rotation, basis)
    jacobian = by_shape.new_zeros(len(v_cam), 2, layout.n_all)
    jacobian[..., layout.identity] = by_shape[..., : layout.n_identity]
    jacobian[..., layout.expression(0)] = by_shape[..., layout.n_identity :]
    pose = layout.pose(0)
    jacobian[..., pose.start : pose.start + 3] = torch.bmm(by_position, spin_gradient(turned))
    jacobian[..., pose.start + 3 : pose.stop] = by_position
    offset = focal_px * v_cam[:, :2] * v_cam.new_tensor([1.0, -1.0]) / -v_cam[:, 2:]
    jacobian[..., layout.zoom(0).start] = offset
    return jacobian
