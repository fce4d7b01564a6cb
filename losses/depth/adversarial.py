"""Objectives of depth made against a discriminator: Pini's cGAN and pix2pix. Real is 1, made is 0.

Pini et al. print both labellings: 0 for real and 1 for fake where the discriminator is described, the probability of a real map in
Eq. 1 and the target 1 of the generator in Eq. 5. Only the second pair goes together, so it is taken. Eq. 5 also leaves out D in
L_adv(G(s), 1). Discriminators give logits, before any sigmoid: ``(B,)``, ``(B, 1)`` or one a patch ``(B, 1, H, W)``; patches of a
picture are averaged.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.pointwise import l1, l2

PIX2PIX_L1 = 100.0
"""LAMBDA of the pix2pix paper, for maps in [-1, 1]."""


def judged(logits: Float[Tensor, "b ..."], real: bool) -> Float[Tensor, " b"]:
    """Binary cross-entropy of logits with the label real (1) or made (0), mean over a picture's patches (Pini's Eq. 2)."""
    label = torch.full_like(logits, float(real))
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
    return cost.reshape(len(logits), -1).mean(dim=1)


def discriminator_objective(
    real_logits: Float[Tensor, "b ..."], made_logits: Float[Tensor, "b ..."]
) -> Float[Tensor, " b"]:
    """BCE(D(real), 1) + BCE(D(made), 0) of each picture, for the step of the discriminator (Eq. 6 of the pix2pix depth paper).

    The made maps are passed into the discriminator detached, so that the step does not move the generator.
    """
    return judged(real_logits, real=True) + judged(made_logits, real=False)


def cgan_objective(
    made_logits: Float[Tensor, "b ..."],
    made: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    weight: float,
) -> Float[Tensor, " b"]:
    """lambda MSE + BCE(D(made), 1) of each picture, for the step of the generator (Pini et al. 2018, Eqs. 3 to 5).

    The mean is over pixels that count. Eq. 3 prints the squared norm of the whole picture: its lambda, which is not given, is this
    weight over the number of pixels (9216 in 96 x 96).

    Args:
        made_logits: of the made maps, through a discriminator that is not moved in this step.
        made, true: maps in [-1, 1].
        mask: what counts in the first term.
        weight: lambda.
    """
    return weight * l2(made, true, mask) + judged(made_logits, real=True)


def pix2pix_objective(
    made_logits: Float[Tensor, "b ..."],
    made: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    weight: float = PIX2PIX_L1,
) -> Float[Tensor, " b"]:
    """BCE(D(made), 1) + 100 L1 of each picture, for the step of the generator (Eqs. 4 and 5 of the pix2pix depth paper).

    The paper's introduction gives the L1 to the discriminator; its equations, and pix2pix itself, do not.

    Args:
        made_logits, made, true, mask: as for :func:`cgan_objective`.
        weight: LAMBDA.
    """
    return weight * l1(made, true, mask) + judged(made_logits, real=True)
