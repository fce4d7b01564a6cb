"""Priors of shape that do not favour small heads.

Coefficients are millimetres over standard deviations, while a photo shows shape up to size. With the sum of squares for a
prior, any shape gets cheaper when the whole head shrinks and every deviation with it: the most probable head then comes
out smaller than the average one, by about its own squared length times the share that one coefficient adds to the size.
On photos, on drawings of another model and on drawings of this one it was about 4 %. Here deviations are counted in shares
of the head's size instead, so that size is left to what the prior says of size itself.
"""

from __future__ import annotations

import numpy as np

from bfm.data import FloatArray
from recon.fitting.unknowns import Layout

_LEAST_SIZE = 0.5


def size_slope(mean: FloatArray, identity: FloatArray) -> FloatArray:
    """What each identity coefficient adds to the size of the mean face, as a share of it.

    Size is the root mean square distance of points from their centre.

    Args:
        mean: ``(N, 3)`` points of the mean face.
        identity: ``(N, 3, Ki)`` their basis.
    """
    centred = mean - mean.mean(axis=0)
    return np.asarray(np.einsum("nc,nck->k", centred, identity) / np.square(centred).sum())


def shape_prior(
    layout: Layout,
    identity: FloatArray,
    expression: FloatArray,
    identity_weight: float,
    expression_sigma: FloatArray,
    slope: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Normal equations of the N(0, 1) prior of identity and expressions in shares of the head's size.

    Args:
        layout: where the unknowns stand.
        identity: ``(Ki,)`` now.
        expression: ``(views, Ke)`` now.
        identity_weight: strength of the identity prior.
        expression_sigma: ``(Ke,)`` or ``(views, Ke)`` widths of the expression prior.
        slope: ``(Ki,)`` of :func:`size_slope`.
    """
    size = max(1.0 + float(slope @ identity), _LEAST_SIZE)
    rows, residuals = [], []

    def believe(where: slice, values: FloatArray, sigma: FloatArray) -> None:
        # The residual is values / (sigma size); size depends on the identity.
        jacobian = np.zeros((len(values), layout.n_all))
        jacobian[range(len(values)), range(where.start, where.stop)] = 1.0 / (sigma * size)
        jacobian[:, layout.identity] -= np.outer(values / (sigma * size**2), slope)
        rows.append(jacobian)
        residuals.append(values / (sigma * size))

    believe(layout.identity, identity, np.full(len(identity), identity_weight**-0.5))
    for view, sigma in enumerate(np.broadcast_to(expression_sigma, expression.shape)):
        believe(layout.expression(view), expression[view], sigma)
    jacobian, residual = np.concatenate(rows), np.concatenate(residuals)
    return np.asarray(jacobian.T @ jacobian), np.asarray(-jacobian.T @ residual)
