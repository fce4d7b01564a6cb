"""What the pose networks are punished for, each by its own paper, and how far they are off."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from losses.pose import rotation_loss
from losses.rotation_likelihood import rotation_nll, tangent_error
from recon.networks.pose.hopenet import BIN_DEG, N_BINS, BinnedAnswer
from recon.networks.pose.prediction import AngleAnswer, PosePrediction, rotation_to_angles
from recon.networks.pose.stagewise import RANGE_DEG
from recon.training.metrics import geodesic_error_deg, pose_error_deg

PoseAnswer = PosePrediction | AngleAnswer | BinnedAnswer


@dataclasses.dataclass(frozen=True)
class PoseLossWeights:
    """Of the losses of pose networks.

    Attributes:
        geodesic: of the angle between rotations, radians (6D network).
        likelihood: of the negative log-likelihood of the tangent Gaussian (6D network).
        angles: of the mean absolute error of the three angles, degrees (FSA-Net, Eq. 14 of the head pose paper).
        bins, expectation: of the cross entropy of the bins and of the squared error of their expectation, degrees squared
            (HopeNet: 1 and 0.5 to 2).

    Raises:
        ValueError: a negative weight.
    """

    geodesic: float = 1.0
    likelihood: float = 0.05
    angles: float = 1.0
    bins: float = 1.0
    expectation: float = 0.5

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) >= 0.0:
                raise ValueError(f"the weight {field.name} must be 0 or more, got {getattr(self, field.name)}")


def pose_loss_terms(
    answer: PoseAnswer, rotation: Float[Tensor, "b 3 3"], weights: PoseLossWeights
) -> dict[str, Tensor]:
    """Weighted terms by name; their sum is the loss.

    Args:
        answer: of a network.
        rotation: ``(B, 3, 3)`` the true one.
        weights: of the terms.
    """
    if isinstance(answer, PosePrediction):
        terms = {"geodesic": weights.geodesic * rotation_loss(answer.rotation, rotation)}
        if answer.precision_root is not None:
            # The rotation is a constant here: a network that is unsure must not be let off a rotation that it could find.
            nll = rotation_nll(answer.rotation.detach(), rotation, answer.precision_root)
            terms["likelihood"] = weights.likelihood * nll.mean()
        return terms
    angles_deg = rotation_to_angles(rotation)
    # Beyond, where a head has turned past its profile, the three angles jump: data sets for such networks leave these heads out too.
    told = (angles_deg.abs() <= RANGE_DEG).all(dim=1).to(angles_deg)
    share = told / told.sum().clamp_min(1.0)
    off_deg = answer.angles_deg - angles_deg
    if isinstance(answer, AngleAnswer):
        return {"angles": weights.angles * (share * off_deg.abs().mean(dim=1)).sum()}
    place = ((angles_deg / BIN_DEG) + 0.5 * N_BINS).floor().long().clamp(0, N_BINS - 1)
    crossed = torch.nn.functional.cross_entropy(answer.logits.transpose(1, 2), place, reduction="none").mean(dim=1)
    return {
        "bins": weights.bins * (share * crossed).sum(),
        "expectation": weights.expectation * (share * off_deg.square().mean(dim=1)).sum(),
    }


def pose_metrics(found: PosePrediction, rotation: Float[Tensor, "b 3 3"]) -> dict[str, Float[Tensor, " b"]]:
    """Errors of each crop in degrees: the mean of the three angles, the geodesic one, and each angle's; of networks that say how sure they
    are, ``chi2``: w^T C^-1 w over 3, whose mean is 1 if their covariances are true, and ``within``: of crops whose error lies in the
    ellipsoid that should hold 68 % of them."""
    apart_deg = (
        (rotation_to_angles(found.rotation) - rotation_to_angles(rotation) + 180.0).remainder(360.0).sub(180.0).abs()
    )
    metrics = {
        "pose_deg": pose_error_deg(found.rotation, rotation),
        "geodesic_deg": geodesic_error_deg(found.rotation, rotation),
        **dict(zip(("yaw_deg", "pitch_deg", "roll_deg"), apart_deg.unbind(dim=1), strict=True)),
    }
    if found.precision_root is not None:
        w_rad = tangent_error(found.rotation, rotation)
        squared = (found.precision_root.transpose(-2, -1) @ w_rad[..., None]).square().sum(dim=(-2, -1))
        metrics |= {"chi2": squared / 3.0, "within": (squared < CHI2_68).to(squared.dtype)}
    return metrics


CHI2_68 = 3.506
"""Below it lies 68 % of a chi-squared number of three degrees of freedom."""
