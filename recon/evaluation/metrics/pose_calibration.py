"""Whether a stated uncertainty of rotations is true."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from losses.rotation_likelihood import tangent_error

CHI2_68, CHI2_95 = 3.506, 7.815
"""Below them lie 68 % and 95 % of a chi-squared number of three degrees of freedom."""


def calibration_values(
    found: Float[np.ndarray, "3 3"], true: Float[np.ndarray, "3 3"], covariance: Float[np.ndarray, "3 3"]
) -> dict[str, float]:
    """``sigma``: the root mean square geodesic error that is stated, degrees; ``chi2``: w^T C^-1 w of the error w, whose mean is 3
    if covariances are true.

    Args:
        found, true: ``(3, 3)`` rotations in one frame.
        covariance: ``(3, 3)`` radians squared, of w about the axes of that frame.
    """
    w = tangent_error(*(torch.from_numpy(np.asarray(r, dtype=np.float64))[None] for r in (found, true)))[0].numpy()
    return {
        "sigma": float(np.degrees(np.sqrt(np.trace(covariance)))),
        "chi2": float(w @ np.linalg.solve(covariance, w)),
    }


def calibration_rows(
    sigma_deg: Float[np.ndarray, " n"], error_deg: Float[np.ndarray, " n"], chi2: Float[np.ndarray, " n"]
) -> list[tuple[str, float, float, float, float, float, int]]:
    """Of all samples, and of thirds of them from the surest to the least sure: stated and true root mean square error in degrees, the
    mean of chi2 / 3, and the shares in the ellipsoids that should hold 68 % and 95 %; and how many.

    Args:
        sigma_deg: ``(N,)`` stated root mean square error.
        error_deg: ``(N,)`` geodesic error.
        chi2: ``(N,)``.
    """
    order = np.argsort(sigma_deg, kind="stable")
    parts = [("all", order)]
    if len(order) >= 9:
        names = ("surest third", "middle third", "least sure third")
        parts += list(zip(names, np.array_split(order, 3), strict=True))
    return [
        (
            name,
            float(np.sqrt(np.mean(sigma_deg[rows] ** 2))),
            float(np.sqrt(np.mean(error_deg[rows] ** 2))),
            float(chi2[rows].mean() / 3.0),
            float((chi2[rows] < CHI2_68).mean()),
            float((chi2[rows] < CHI2_95).mean()),
            len(rows),
        )
        for name, rows in parts
    ]
