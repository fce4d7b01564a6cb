"""Relative widths of the prior of ARKit weights, and a Gaussian prior of their left-right and gaze differences."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import FitState

_YAW = {"eyeLookOutLeft": 1.0, "eyeLookInLeft": -1.0, "eyeLookInRight": -1.0, "eyeLookOutRight": 1.0}
_PITCH = {"eyeLookUpLeft": 1.0, "eyeLookDownLeft": -1.0, "eyeLookUpRight": -1.0, "eyeLookDownRight": 1.0}
_VERGENCE_SIGMA, _PITCH_SIGMA = 0.1, 0.05
"""How far the eyes part, in ARKit weights. A weight of 1 turns an eye by about 30 degrees; at half a metre eyes converge
by 7 degrees."""


_WIDTHS = {
    **{"jawOpen": 0.6, "mouthSmile": 1.6, "mouthUpperUp": 1.8, "mouthLowerDown": 1.8},
    **{"cheekPuff": 0.3, "jawForward": 0.4},
    **dict.fromkeys(("jawLeft", "jawRight", "mouthLeft", "mouthRight"), 0.5),
}
"""Widths of the prior of some weights, as factors, by the start of their names. With one width for all, a jaw half open
is likelier than lips that part by the same distance, for it takes one weight instead of four, and a smile loses its teeth.
Puffed cheeks, jaws pushed forward, jaws and mouths pushed aside are acted, and photos hardly tell them from a full or
prognathic face or another turn of the head: the dark of stubble passes for the shade of puffed cheeks, a smile seen from the side for
a mouth pushed away.
"""
LID_SCALE = 2.5
"""A further factor for lids in fits of photos. Lids go their whole way many times a minute; without it shut eyes came out three quarters shut."""


def expression_widths(names: tuple[str, ...], jaw_prior_scale: float = 1.0, lid_scale: float = 1.0) -> np.ndarray:
    """Factor ``(Ke,)`` on the prior's width of each expression weight.

    Args:
        names: of the weights.
        jaw_prior_scale: a further factor for an open jaw, see :func:`recon.fitting.jaw_prior.jaw_prior_scale`.
        lid_scale: a further factor for shut lids, such as :data:`LID_SCALE`.
    """
    widths = np.array([next((w for start, w in _WIDTHS.items() if name.startswith(start)), 1.0) for name in names])
    lids = np.where([name.startswith("eyeBlink") for name in names], lid_scale, 1.0)
    return np.asarray(widths * lids * np.where([name == "jawOpen" for name in names], jaw_prior_scale, 1.0))


_ASYMMETRY_SIGMA = 0.2
"""How far the two halves of a face act apart, in ARKit weights of a prior of usual width. Without it hair, shade or a
turned head bend a mouth. Posed and natural smiles differ little by side; a smirk overcomes it."""
_SIDES = ("Left", "Right")
_UNPAIRED_STEMS = ("jaw", "mouth", "eyeBlink")
"""What has no other half: jawLeft and jawRight move the whole jaw. Lids wink, and their opening is measured well."""


def symmetry_rows(names: tuple[str, ...]) -> np.ndarray:
    """Rows ``(R, Ke)`` whose product with expression weights is zero, to a standard deviation of one, when both halves
    of a face act alike. Eyes that turn have :func:`gaze_rows` instead. Like those, for fits to the picture: points alone
    are fitted without."""
    rows = []
    for index, (name, width) in enumerate(zip(names, expression_widths(names), strict=True)):
        start = name.removesuffix(_SIDES[0])
        partner = start + _SIDES[1]
        if start == name or start in _UNPAIRED_STEMS or name in _YAW or name in _PITCH or partner not in names:
            continue
        row = np.zeros(len(names))
        row[[index, names.index(partner)]] = np.array([1.0, -1.0]) / (_ASYMMETRY_SIGMA * width)
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, len(names)))


def gaze_rows(names: tuple[str, ...]) -> np.ndarray:
    """Rows ``(R, Ke)`` whose product with expression weights is zero, to a standard deviation of one, when both eyes
    look the same way; no rows for a model without ARKit's eye weights."""
    rows = []
    for weights, sigma in ((_YAW, _VERGENCE_SIGMA), (_PITCH, _PITCH_SIGMA)):
        if weights.keys() <= set(names):
            row = np.zeros(len(names))
            row[[names.index(name) for name in weights]] = np.array(list(weights.values())) / sigma
            rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, len(names)))


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionCouplingPrior:
    """A Gaussian prior of left-right and gaze differences of expression weights.

    Attributes:
        names: of the weights.
        rows: ``(R, Ke)`` whose products with the weights have a standard deviation of one, see :func:`gaze_rows` and
            :func:`symmetry_rows`.
    """

    names: tuple[str, ...]
    rows: Float[Tensor, "r ke"]

    @classmethod
    def of(cls, names: tuple[str, ...]) -> ExpressionCouplingPrior:
        """For expressions of these names."""
        return cls(names, torch.from_numpy(np.concatenate([gaze_rows(names), symmetry_rows(names)])))

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """The rows of every view."""
        rows = self.rows.to(state.parameters.expression)
        jacobian = rows.new_zeros(layout.n_views, len(rows), layout.n_total)
        for view in range(layout.n_views):
            jacobian[view, :, layout.expression(view)] = rows
        return LinearizedTerm(jacobian.flatten(0, 1), (state.parameters.expression @ rows.T).flatten())
