"""Sound at another rate."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.signal import resample_poly


def resampled(samples: Float[np.ndarray, " n"], rate_hz: int, wanted_hz: int) -> Float[np.ndarray, " m"]:
    """The same sound with ``wanted_hz`` samples a second, band-limited; it takes as long to the nearest sample."""
    if rate_hz == wanted_hz or len(samples) == 0:
        return samples
    common = math.gcd(rate_hz, wanted_hz)
    return np.asarray(resample_poly(samples, wanted_hz // common, rate_hz // common))
