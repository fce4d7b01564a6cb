"""What a fit believes of shape, paint and light before it looks at a picture, as normal equations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bfm.data import FloatArray
from recon.fitting.expressions import ExpressionPrior, expression_widths
from recon.fitting.plausibility import shape_prior
from recon.fitting.settings import FitSettings
from recon.fitting.state import FaceState, PictureView
from recon.fitting.unknowns import Layout
from recon.lighting import sh_basis

_TINT_SHARE, _BAND2_SHARE = 0.30, 0.25
_MOST_DIRECTED = 1.3
"""Largest length of a light's first band over its mean. One lamp in the dark has sqrt(3); more would be negative light."""
_DIRECTED_SIGMA = 0.03
"""How far beyond that a light may be, as a share of its mean."""


def priors(
    state: FaceState,
    views: list[PictureView],
    layout: Layout,
    settings: FitSettings,
    paint_stiffness: float,
    expressions: ExpressionPrior,
    size_slope: FloatArray,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of what is believed before looking at the pictures.

    Args:
        state, views, layout, settings: of the fit.
        paint_stiffness: factor of the prior of paint.
        expressions: what is known of the model's expressions.
        size_slope: ``(Ki,)`` what each identity coefficient adds to the size of the face, as a share.
    """
    weights, now = np.zeros(layout.n_all), np.zeros(layout.n_all)
    weights[layout.albedo], now[layout.albedo] = settings.albedo_weight * paint_stiffness, state.albedo[0].cpu()
    for index, view in enumerate(views):
        now[layout.expression(index)] = state.expression[index].cpu()
        # A known focal length is held by a prior so narrow that it does not move.
        weights[layout.zoom(index)] = 1.0 / max(view.focal_sigma, 1e-6) ** 2
        now[layout.zoom(index)] = float(state.log_zoom[index])
    normal, right = np.diag(weights), -weights * now
    believed, wanted = shape_prior(
        layout,
        state.identity[0].double().cpu().numpy(),
        state.expression.double().cpu().numpy(),
        settings.identity_weight,
        settings.expression_sigma * np.stack([expression_widths(expressions.names, view.jaw_factor) for view in views]),
        size_slope,
    )
    normal += believed
    right += wanted
    for index in range(len(views)):
        face = layout.expression(index)
        normal[face, face] += expressions.rows.T @ expressions.rows
        right[face] -= expressions.rows.T @ (expressions.rows @ now[face])
        light = state.lighting[index].double().cpu().numpy()
        stiffness = _light_stiffness(float(max(light[0].mean(), 0.1)))
        where = layout.light(index)
        normal[where, where] += stiffness
        right[where] -= stiffness @ light.ravel()
        # Exposure: what shows the face at its own albedo is the likeliest, or light and dark paint would trade freely.
        level = _exposure()
        gap = float((level @ light).mean()) - 1.0
        row = np.kron(level, np.full(3, 1.0 / 3.0)) / settings.exposure_sigma
        normal[where, where] += np.outer(row, row)
        right[where] -= row * gap / settings.exposure_sigma
        row, excess = negative_light(light)
        normal[where, where] += np.outer(row, row)
        right[where] -= row * excess
    return normal, right


def negative_light(light: np.ndarray) -> tuple[np.ndarray, float]:
    """Row ``(27,)`` and residual that push a light whose rear side would be darker than black back to a possible one."""
    grey = light.mean(axis=1)
    length = float(np.linalg.norm(grey[1:4]))
    excess = length - _MOST_DIRECTED * float(grey[0])
    if excess <= 0.0:
        return np.zeros(light.size), 0.0
    by_band = np.zeros(9)
    by_band[0], by_band[1:4] = -_MOST_DIRECTED, grey[1:4] / length
    sigma = _DIRECTED_SIGMA * max(float(grey[0]), 0.1)
    return np.kron(by_band, np.full(3, 1.0 / 3.0)) / sigma, excess / sigma


def _light_stiffness(level: float) -> np.ndarray:
    """Real light is mostly white and never far from smooth: colour apart from the mean costs, so do the high bands."""
    tint = (np.eye(3) - 1.0 / 3.0) / (_TINT_SHARE * level) ** 2
    band2 = np.diag([0.0] * 4 + [1.0 / (_BAND2_SHARE * level) ** 2] * 5)
    return np.asarray(np.kron(np.eye(9), tint) + np.kron(band2, np.eye(3)))


def _exposure() -> np.ndarray:
    """Row ``(9,)`` that takes light to the irradiance over pi of a surface that faces the camera a little upwards."""
    towards = torch.nn.functional.normalize(torch.tensor([[0.0, 0.25, 1.0]], dtype=torch.float64), dim=1)
    return np.asarray((sh_basis(towards) * band_factors())[0])


def band_factors() -> Tensor:
    """Irradiance over pi of a unit coefficient, by band: what :func:`recon.lighting.shade` multiplies by."""
    return torch.tensor([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5, dtype=torch.float64)
