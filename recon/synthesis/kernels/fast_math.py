"""Powers in single precision for the compiled kernels, several times faster than the C library's and as exact as shading needs."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from bfm.compiled import compiled

_HALF_ROOT = np.float32(math.sqrt(0.5)).view(np.int32)
"""Bits of the square root of 1/2: mantissas are taken from there to the square root of 2, so that log2(1) is 0 exactly."""


def _fitted(function, low: float, high: float, degree: int) -> tuple[np.float32, ...]:  # type: ignore[no-untyped-def]
    """Coefficients, highest power first, of the polynomial through the Chebyshev points of an interval."""
    fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return tuple(fit.convert(kind=np.polynomial.Polynomial).coef[::-1].astype(np.float32))


def _log2_ratio(x: np.ndarray) -> np.ndarray:
    """log2(1 + x) / x."""
    near = np.abs(x) < 1e-9
    return np.where(near, 1.0, np.log1p(x) / np.where(near, 1.0, x)) / math.log(2.0)


def _exp2_slope(x: np.ndarray) -> np.ndarray:
    """(2^x - 1) / x, so that 2^0 is 1 exactly."""
    near = np.abs(x) < 1e-9
    return np.where(near, math.log(2.0), np.expm1(x * math.log(2.0)) / np.where(near, 1.0, x))


_LOG = _fitted(_log2_ratio, math.sqrt(0.5) - 1.0, math.sqrt(2.0) - 1.0, 7)
_EXP = _fitted(_exp2_slope, 0.0, 1.0, 5)


@compiled(inline="always")
@no_type_check
def log2(x):
    """log2 of a positive, normal float32; off by 3e-7 at most, relative or absolute."""
    bits = np.float32(x).view(np.int32)
    exponent = (bits - _HALF_ROOT) >> np.int32(23)
    rest = np.int32(bits - (exponent << np.int32(23))).view(np.float32) - np.float32(1.0)
    value = _LOG[0]
    for k in range(1, len(_LOG)):
        value = value * rest + _LOG[k]
    return np.float32(exponent) + rest * value


@compiled(inline="always")
@no_type_check
def exp2(y):
    """2 to a float32 below 127; 2^-126 and less are taken as 2^-126."""
    y = max(y, np.float32(-126.0))
    whole = np.int32(math.floor(y))
    rest = y - np.float32(whole)
    value = _EXP[0]
    for k in range(1, len(_EXP)):
        value = value * rest + _EXP[k]
    value = np.float32(1.0) + rest * value
    return np.int32(np.float32(value).view(np.int32) + (whole << np.int32(23))).view(np.float32)


@compiled(inline="always")
@no_type_check
def power(x, exponent):
    """``x ** exponent`` of float32, x positive and normal."""
    return exp2(exponent * log2(x))
