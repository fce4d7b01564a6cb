"""Two eyes look at one thing: what ARKit's eye weights of both sides have to do with each other."""

from __future__ import annotations

import numpy as np

_YAW = {"eyeLookOutLeft": 1.0, "eyeLookInLeft": -1.0, "eyeLookInRight": -1.0, "eyeLookOutRight": 1.0}
_PITCH = {"eyeLookUpLeft": 1.0, "eyeLookDownLeft": -1.0, "eyeLookUpRight": -1.0, "eyeLookDownRight": 1.0}
_VERGENCE_SIGMA, _PITCH_SIGMA = 0.1, 0.05
"""How far the eyes part, in ARKit weights. A weight of 1 turns an eye by about 30 degrees; at half a metre eyes converge
by 7 degrees."""


def gaze_rows(names: tuple[str, ...]) -> np.ndarray:
    """Rows ``(R, Ke)`` whose product with expression weights is nought, to a standard deviation of one, when both eyes
    look the same way; no rows for a model without ARKit's eye weights."""
    rows = []
    for weights, sigma in ((_YAW, _VERGENCE_SIGMA), (_PITCH, _PITCH_SIGMA)):
        if weights.keys() <= set(names):
            row = np.zeros(len(names))
            row[[names.index(name) for name in weights]] = np.array(list(weights.values())) / sigma
            rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, len(names)))
