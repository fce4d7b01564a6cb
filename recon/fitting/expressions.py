"""What is known of ARKit weights before looking: two eyes look at one thing, and a smile parts lips, not jaws."""

from __future__ import annotations

import dataclasses

import numpy as np

_YAW = {"eyeLookOutLeft": 1.0, "eyeLookInLeft": -1.0, "eyeLookInRight": -1.0, "eyeLookOutRight": 1.0}
_PITCH = {"eyeLookUpLeft": 1.0, "eyeLookDownLeft": -1.0, "eyeLookUpRight": -1.0, "eyeLookDownRight": 1.0}
_VERGENCE_SIGMA, _PITCH_SIGMA = 0.1, 0.05
"""How far the eyes part, in ARKit weights. A weight of 1 turns an eye by about 30 degrees; at half a metre eyes converge
by 7 degrees."""


_WIDTHS = {
    **{"jawOpen": 0.6, "mouthSmile": 1.6, "mouthUpperUp": 1.8, "mouthLowerDown": 1.8},
    **{"cheekPuff": 0.3, "jawForward": 0.4},
}
"""Widths of the prior of some weights, as factors, by the start of their names. With one width for all, a jaw half open
is likelier than lips that part by the same distance, for it takes one weight instead of four, and a smile loses its teeth.
Puffed cheeks and a jaw pushed forward are acted; a photo hardly tells them from a full or a prognathic face, and the dark
of stubble passes for the shade of the one, a drawn lower lip for the other.
"""


def expression_widths(names: tuple[str, ...], jaw_factor: float = 1.0) -> np.ndarray:
    """Factor ``(Ke,)`` on the prior's width of each expression weight.

    Args:
        names: of the weights.
        jaw_factor: a further factor for an open jaw, see :func:`recon.fitting.bite.jaw_factor`.
    """
    widths = np.array([next((w for start, w in _WIDTHS.items() if name.startswith(start)), 1.0) for name in names])
    return np.asarray(widths * np.where([name == "jawOpen" for name in names], jaw_factor, 1.0))


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


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionPrior:
    """What is known of a model's expression weights.

    Attributes:
        names: of the weights.
        gaze: ``(R, Ke)`` rows of :func:`gaze_rows`.
    """

    names: tuple[str, ...]
    gaze: np.ndarray

    @classmethod
    def of(cls, names: tuple[str, ...]) -> ExpressionPrior:
        """For expressions of these names."""
        return cls(names, gaze_rows(names))
