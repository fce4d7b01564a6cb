"""Errors of depth maps.

d is the predicted and g the true depth in mm over the N pixels that count. Definitions of the depth papers
(Khan, Basak and Corcoran 2021, Section "Accuracy measures"; Khan et al. 2021, Eqs. 6 onwards), which follow Eigen et al. 2014:

- ``abs_rel`` mean |d - g| / g; ``sq_rel`` mean (d - g)^2 / g, mm; ``rmse`` sqrt(mean (d - g)^2), mm
- ``rmse_log`` sqrt(mean (ln d - ln g)^2). The papers print it without the root (``rmse_log_printed``).
- ``delta_k`` share of pixels with max(d/g, g/d) < 1.25^k for k = 1, 2, 3 and the hard k = 1/4, 1/3, 1/2
- ``si_rmse`` scale-invariant: sqrt(mean(e^2) - mean(e)^2) with e = ln d - ln g
- ``nrmse`` rmse / (max g - min g). The papers divide by a range they do not define.
- ``r2`` 1 - sum (d - g)^2 / sum (g - mean g)^2
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

ALIGNMENTS = ("none", "median", "scale", "scale and shift")
DELTA_POWERS: dict[str, float] = {
    "delta_1": 1.0,
    "delta_2": 2.0,
    "delta_3": 3.0,
    "delta_1/4": 1.0 / 4.0,
    "delta_1/3": 1.0 / 3.0,
    "delta_1/2": 1.0 / 2.0,
}
FACIAL_CROP_MM = 500.0
"""The depth papers' facial crop: true depth within 50 cm of the camera (Khan et al. 2020 and 2021)."""

GREY_SPAN_MM = 320.0
"""Side of Pini's box around a face (Pini et al. 2018, Eq. 6), here also from the nearest to the farthest grey value."""
_GREY_SIDE_PX = 96


@dataclasses.dataclass(frozen=True)
class DepthErrors:
    """Errors by name, and over how many pixels."""

    values: dict[str, float]
    n_pixels: int


def aligned_depth(
    predicted_mm: Float[np.ndarray, " n"], true_mm: Float[np.ndarray, " n"], alignment: str
) -> Float[np.ndarray, " n"]:
    """The prediction after a scale, or a scale and a shift, onto the truth.

    ``median`` is the scale that makes the medians equal (Eigen et al. 2014; Zhou et al. 2017), which outliers do not move;
    ``scale`` and ``scale and shift`` are least squares.

    Raises:
        ValueError: an unknown alignment.
    """
    d, g = np.asarray(predicted_mm, dtype=np.float64), np.asarray(true_mm, dtype=np.float64)
    if alignment == "none":
        return d
    if alignment == "median":
        return d * float(np.median(g) / np.median(d))
    if alignment == "scale":
        return d * float((d * g).sum() / (d * d).sum())
    if alignment == "scale and shift":
        spread = float(((d - d.mean()) ** 2).sum())
        slope = float(((d - d.mean()) * (g - g.mean())).sum()) / spread if spread > 0.0 else 0.0
        return g.mean() + slope * (d - d.mean())
    raise ValueError(f"unknown depth alignment {alignment!r}; known: {', '.join(ALIGNMENTS)}")


def depth_errors(
    predicted_mm: Float[np.ndarray, "_h _w"],
    true_mm: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "_hm _wm"],
    alignment: str = "none",
) -> DepthErrors:
    """All errors over the pixels of the mask; pixels outside count neither as right nor as wrong.

    Args:
        predicted_mm: planar depth.
        true_mm: planar depth; positive and finite on the mask.
        mask: the pixels that count.
        alignment: one of :data:`ALIGNMENTS`.

    Raises:
        ValueError: different sizes, an empty mask, or depths on the mask that are not positive and finite.
    """
    if not predicted_mm.shape == true_mm.shape == mask.shape:
        raise ValueError(f"depth maps and mask differ: {predicted_mm.shape}, {true_mm.shape}, {mask.shape}")
    n_pixels = int(mask.sum())
    if n_pixels == 0:
        raise ValueError("no pixel counts: the mask is empty")
    g, raw = np.asarray(true_mm[mask], dtype=np.float64), np.asarray(predicted_mm[mask], dtype=np.float64)
    for name, depth in (("predicted", raw), ("true", g)):
        wrong = ~(np.isfinite(depth) & (depth > 0.0))
        if wrong.any():
            raise ValueError(
                f"{name} depth is not positive and finite on {int(wrong.sum())} of {n_pixels} pixels that count"
            )
    # An affine alignment can push a depth to zero or below, where logarithms and ratios end.
    d = np.maximum(aligned_depth(raw, g, alignment), 1e-3)
    error, log_error = d - g, np.log(d) - np.log(g)
    mse = float((error**2).mean())
    ratio = np.maximum(d / g, g / d)
    spread, deviation = float(np.ptp(g)), float(((g - g.mean()) ** 2).mean())
    values = {
        "abs_rel": float((np.abs(error) / g).mean()),
        "sq_rel": float((error**2 / g).mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(mse)),
        "rmse_log": float(np.sqrt((log_error**2).mean())),
        "rmse_log_printed": float((log_error**2).mean()),
        "si_rmse": float(np.sqrt(max(float((log_error**2).mean() - log_error.mean() ** 2), 0.0))),
        "nrmse": float(np.sqrt(mse)) / spread if spread > 0.0 else float("nan"),
        "r2": 1.0 - mse / deviation if deviation > 0.0 else float("nan"),
    }
    values |= {name: float((ratio < 1.25**power).mean()) for name, power in DELTA_POWERS.items()}
    return DepthErrors(values, n_pixels)


def to_grey(depth_mm: Float[np.ndarray, "*n"], centre_mm: float) -> Float[np.ndarray, "*n"]:
    """Depth on the scale of an 8-bit picture: 1 at 160 mm or more before ``centre_mm``, 255 as far behind it; 0 is kept for "none".

    Pini et al. do not say how depth becomes grey; the span is that of their box around the face. A grey value is 1.26 mm.
    """
    share = (np.asarray(depth_mm, dtype=np.float64) - centre_mm) / GREY_SPAN_MM + 0.5
    return 1.0 + 254.0 * np.clip(share, 0.0, 1.0)


def grey_errors(
    predicted_mm: Float[np.ndarray, "_h _w"],
    true_mm: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "_hm _wm"],
    alignment: str = "none",
) -> DepthErrors:
    """Pini's measures: those of :func:`depth_errors` on grey values around the mean true depth, over the mask only.

    ``mae`` is their L1, ``abs_rel`` their absolute and ``sq_rel`` their squared difference. ``l2`` is the Euclidean norm of
    the errors, as of a picture of 96 x 96 pixels that are all on the mask.

    Args:
        predicted_mm, true_mm, mask: as for :func:`depth_errors`.
        alignment: onto the truth, before depth becomes grey.

    Raises:
        ValueError: as :func:`depth_errors`.
    """
    depth_errors(predicted_mm, true_mm, mask)
    g = np.asarray(true_mm[mask], dtype=np.float64)
    d = aligned_depth(predicted_mm[mask], g, alignment)
    greys = [to_grey(depth, float(g.mean()))[None] for depth in (d, g)]
    found = depth_errors(greys[0], greys[1], np.ones((1, len(g)), dtype=bool))
    return DepthErrors({**found.values, "l2": _GREY_SIDE_PX * found.values["rmse"]}, found.n_pixels)
