"""Means with confidence intervals, and cumulative curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

_N_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Summary:
    """Mean of a measure over samples.

    Attributes:
        mean, std, median: over samples; std is that of the samples, not of the mean.
        low, high: 95 % bootstrap interval of the mean; nan with fewer than two groups.
        n: samples.
    """

    mean: float
    std: float
    median: float
    low: float
    high: float
    n: int


def summarise(values: npt.ArrayLike, groups: Sequence[str] | None = None, seed: int = 0) -> Summary:
    """Mean and percentile bootstrap interval (Efron 1979). Whole groups (subjects) are sampled, because pictures of one
    person are not independent; without groups every sample is its own. Values that are not finite are left out."""
    array = np.asarray(values, dtype=np.float64)
    taken = np.isfinite(array)
    if not taken.any():
        nan = float("nan")
        return Summary(nan, nan, nan, nan, nan, 0)
    names = np.asarray(groups)[taken] if groups is not None else np.arange(int(taken.sum()))
    array = array[taken]
    low, high = bootstrap_interval(array, names, seed)
    return Summary(float(array.mean()), float(array.std()), float(np.median(array)), low, high, len(array))


def bootstrap_interval(values: Float[np.ndarray, " n"], groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean when whole groups are sampled with replacement; (nan, nan) with fewer than two groups."""
    _, number = np.unique(groups, return_inverse=True)
    n_groups = int(number.max()) + 1
    if n_groups < 2:
        return float("nan"), float("nan")
    sums = np.bincount(number, weights=values, minlength=n_groups)
    counts = np.bincount(number, minlength=n_groups)
    sampled = np.random.default_rng(seed).integers(0, n_groups, (_N_RESAMPLES, n_groups))
    means = sums[sampled].sum(axis=1) / counts[sampled].sum(axis=1)
    low, high = np.quantile(means, [0.5 - _CONFIDENCE / 2.0, 0.5 + _CONFIDENCE / 2.0])
    return float(low), float(high)


def cumulative_curve(
    values: Sequence[float], limits: Float[np.ndarray, " k"], n_failed: int = 0
) -> Float[np.ndarray, " k"]:
    """Percent of samples whose value is at most each limit. Failed samples count as never reaching any limit."""
    array = np.sort(np.asarray([v for v in values if np.isfinite(v)], dtype=np.float64))
    total = len(values) + n_failed
    if total == 0:
        return np.zeros(len(limits))
    return 100.0 * np.searchsorted(array, limits, side="right") / total
