"""Normalised mean error of landmarks.

NME = mean over points of |l - l'| / sqrt(w h), with the box w x h of the true points (Eq. 15 of the reconstruction
paper; the same as in Bulat and Tzimiropoulos 2017 and in the AFLW2000-3D tables of PRNet and 3DDFA). Percent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

YAW_BINS_DEG: tuple[tuple[float, float], ...] = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0))
"""Bins of the absolute yaw: [0, 30), [30, 60), [60, 90]."""


def box_size(points: Float[np.ndarray, "n d"]) -> float:
    """sqrt(w h) of the box around the points in x and y.

    Raises:
        ValueError: the box has no area or is not finite.
    """
    width, height = np.ptp(np.asarray(points, dtype=np.float64)[:, :2], axis=0)
    if not (np.isfinite(width * height) and width * height > 0.0):
        raise ValueError(f"the box of the true points has no area: {width} x {height}")
    return float(np.sqrt(width * height))


def normalised_error(
    predicted: Float[np.ndarray, "_n _d"],
    true: Float[np.ndarray, "n d"],
    visible: Bool[np.ndarray, " n"] | None = None,
    size: float | None = None,
) -> float:
    """NME in percent of 2D or 3D points.

    Args:
        predicted: ``(N, 2)`` or ``(N, 3)``.
        true: as many.
        visible: which points count; all by default.
        size: what to divide by; by default sqrt(w h) of the box of all true points.

    Raises:
        ValueError: different shapes, nothing visible, points that are not finite, or a box without area.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predicted and true points must have one shape, got {predicted.shape} and {true.shape}")
    gaps = np.linalg.norm(np.asarray(predicted, dtype=np.float64) - true, axis=1)
    chosen = gaps if visible is None else gaps[visible]
    if len(chosen) == 0:
        raise ValueError("no point is visible, so there is nothing to measure")
    if not np.isfinite(chosen).all():
        raise ValueError("points hold nan or inf")
    return float(100.0 * chosen.mean() / (box_size(true) if size is None else size))


def without_depth_offset(
    predicted: Float[np.ndarray, "n 3"], true: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """The predicted points with their mean z moved to that of the true points: the affine camera of the annotations
    leaves the absolute depth open."""
    shift = np.asarray(true, dtype=np.float64)[:, 2].mean() - np.asarray(predicted, dtype=np.float64)[:, 2].mean()
    return np.asarray(predicted, dtype=np.float64) + np.array([0.0, 0.0, shift])


def yaw_bin(yaw_deg: float) -> int | None:
    """Number of the bin of :data:`YAW_BINS_DEG` that holds an angle, or None beyond 90 degrees."""
    size = abs(yaw_deg)
    for number, (low, high) in enumerate(YAW_BINS_DEG):
        if low <= size < high or size == high == YAW_BINS_DEG[-1][1]:
            return number
    return None


def balanced_means(
    values: Sequence[float], bins: Sequence[int | None], n_subsets: int = 100, seed: int = 0
) -> tuple[float, float, int]:
    """Mean over balanced subsets: equal numbers from each bin, sampled without replacement, many times.

    Returns:
        The mean of the means of the subsets, their standard deviation, and the number of samples a bin. When a bin is
        empty there is no balanced subset: (nan, nan, 0).
    """
    measured, number = np.asarray(values, dtype=np.float64), np.array([-1 if b is None else b for b in bins])
    members = [np.nonzero((number == b) & np.isfinite(measured))[0] for b in range(len(YAW_BINS_DEG))]
    smallest = min(len(part) for part in members)
    if smallest == 0:
        return float("nan"), float("nan"), 0
    rng = np.random.default_rng(seed)
    means = [
        float(np.mean([measured[rng.choice(part, smallest, replace=False)].mean() for part in members]))
        for _ in range(n_subsets)
    ]
    return float(np.mean(means)), float(np.std(means)), smallest
