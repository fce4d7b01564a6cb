"""Trains the lifting network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

import bfm
from losses.landmark_likelihood import gaussian_landmark_nll
from losses.rotation_likelihood import tangent_error, tangent_nll
from recon.alignment import umeyama
from recon.networks.head import FaceBlocks, FramedPlace
from recon.networks.landmark_checkpoint import landmark_fingerprint
from recon.networks.lifting_checkpoint import load_lifting_network, save_lifting_network
from recon.networks.lifting_network import NOMINAL_SIZE, LiftedFaces, LiftingNetwork, LiftingNetworkConfig
from recon.rotation import rotation_angle
from recon.training.framed_heads import LandmarkBasis, projected
from recon.training.lifting_batch import LiftingBatch
from recon.training.module import FaceModelConfig
from recon.training.ray_truth import ray_rotation
from recon.training.schedule import OptimiserConfig
from recon.training.tied_module import Tie, TiedModule


@dataclasses.dataclass(frozen=True)
class LiftingLossWeights:
    """Of the loss of a lifting network.

    Attributes:
        projection: of the distance of projected landmarks from the true ones, in sides of the crop.
        shape_mm: of the distance of landmarks in the head's frame.
        neutral_mm: the same without expressions.
        identity, expression: of squared errors of coefficients.
        rotation: of the angle of the rotation's error, radians.
        likelihood: of the uncertainties' log likelihoods, whose gradients end at the uncertainties.
    """

    projection: float = 60.0
    shape_mm: float = 0.15
    neutral_mm: float = 0.15
    identity: float = 0.15
    expression: float = 8.0
    rotation: float = 8.0
    likelihood: float = 0.05


def lifting_loss_terms(
    lifted: LiftedFaces, batch: LiftingBatch, basis: LandmarkBasis, weights: LiftingLossWeights, pivot_mm: Tensor
) -> dict[str, Tensor]:
    """Weighted terms by name; their sum is the loss."""
    heads, neutral = batch.heads, torch.zeros_like(lifted.expression)
    points_obj = basis(lifted.identity, lifted.expression)
    plane = projected(_camera_points(points_obj, lifted), batch.told_intrinsics)
    turned_rad = rotation_errors(lifted, batch)
    off_identity, off_expression = lifted.identity - heads.identity, lifted.expression - heads.expression
    likelihoods = (
        gaussian_landmark_nll(off_identity.detach()[..., None], lifted.log_sigma_identity).mean(),
        gaussian_landmark_nll(off_expression.detach()[..., None], lifted.log_sigma_expression).mean(),
        tangent_nll(turned_rad.detach(), lifted.rotation_root).mean(),
        gaussian_landmark_nll(
            _place_errors(lifted, batch, pivot_mm).detach()[..., None], lifted.log_sigma_place
        ).mean(),
    )
    return {
        "projection": weights.projection * _mean_distance(plane, batch.true_points[..., :2]),
        "shape": weights.shape_mm * _mean_distance(points_obj, basis(heads.identity, heads.expression)),
        "neutral": weights.neutral_mm * _mean_distance(basis(lifted.identity, neutral), basis(heads.identity, neutral)),
        "identity": weights.identity * off_identity.square().mean(),
        "expression": weights.expression * off_expression.square().mean(),
        "rotation": weights.rotation * turned_rad.norm(dim=1).mean(),
        "likelihood": weights.likelihood * torch.stack(likelihoods).sum(),
    }


def rotation_errors(lifted: LiftedFaces, batch: LiftingBatch) -> Float[Tensor, "b 3"]:
    """Rotation vectors, radians, from the true rotation against the ray to the found one."""
    found = ray_rotation(lifted.rotation, lifted.translation_mm)
    return tangent_error(batch.heads.ray_rotation, found)


def _place_errors(lifted: LiftedFaces, batch: LiftingBatch, pivot_mm: Tensor) -> Float[Tensor, "b 3"]:
    heads, told = batch.heads, batch.told_intrinsics
    found = FramedPlace.of(lifted.rotation, lifted.translation_mm, told, pivot_mm, NOMINAL_SIZE)
    true = FramedPlace.of(heads.rotation, heads.translation_mm, heads.intrinsics, pivot_mm, NOMINAL_SIZE)
    return found.place - true.place


def _camera_points(points_obj: Float[Tensor, "b n 3"], lifted: LiftedFaces) -> Float[Tensor, "b n 3"]:
    return points_obj @ lifted.rotation.transpose(1, 2) + lifted.translation_mm[:, None]


def _mean_distance(found: Tensor, true: Tensor) -> Tensor:
    return (found - true).norm(dim=-1).mean()


def lifting_metrics(lifted: LiftedFaces, batch: LiftingBatch, basis: LandmarkBasis) -> dict[str, Float[Tensor, " b"]]:
    """Errors of each face: of the first 68 points projected and the inner 51 of them, and of the inner ones as they were found (Eq. 15:
    percent of the root of the box's area); the rotation's angle in degrees; the neutral head's landmarks after a similarity, and those
    of the mean head, mm; shares of identity coefficients and of rotations within one sigma."""
    true = batch.true_points[:, :68, :2]
    box = (true.amax(dim=1) - true.amin(dim=1)).prod(dim=-1).sqrt()[:, None]
    points_obj = basis(lifted.identity, lifted.expression)[:, :68]
    plane = projected(_camera_points(points_obj, lifted), batch.told_intrinsics)
    error = 100.0 * (plane - true).norm(dim=-1) / box
    found = 100.0 * (batch.found.points[:, :68, :2] - true).norm(dim=-1) / box
    rotation = ray_rotation(lifted.rotation, lifted.translation_mm)
    white = (lifted.rotation_root @ rotation_errors(lifted, batch)[..., None])[..., 0]
    inside = (lifted.identity - batch.heads.identity).abs() < lifted.log_sigma_identity.exp()
    return {
        "nme": error.mean(dim=1),
        "nme51": error[:, 17:].mean(dim=1),
        "found51": found[:, 17:].mean(dim=1),
        "geodesic_deg": torch.rad2deg(rotation_angle(rotation, batch.heads.ray_rotation)),
        "shape_mm": _shape_error_mm(lifted.identity, batch, basis),
        "mean_head_mm": _shape_error_mm(torch.zeros_like(lifted.identity), batch, basis),
        "within_sigma_identity": inside.to(error.dtype).mean(dim=1),
        "within_sigma_rotation": (white.abs() < 1.0).to(error.dtype).mean(dim=1),
    }


def _shape_error_mm(identity: Float[Tensor, "b ki"], batch: LiftingBatch, basis: LandmarkBasis) -> Float[Tensor, " b"]:
    neutral = torch.zeros_like(batch.heads.expression)
    found, true = basis(identity, neutral).double(), basis(batch.heads.identity, neutral).double()
    scale, rotation, shift = umeyama(found, true)
    aligned = scale[:, None, None] * found @ rotation.transpose(1, 2) + shift[:, None]
    return (aligned - true).norm(dim=-1).mean(dim=1).to(identity.dtype)


class LiftingModule(TiedModule[LiftingNetwork]):
    """Trains a lifting network on detections whose truth is known.

    Args:
        network: how it is built.
        face_model: whose heads it gives.
        weights: of the loss.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.

    Raises:
        ValueError: an impossible setting, named.
        CheckpointError: the initial weights are missing, damaged, or of other landmarks or another face model.
    """

    def __init__(
        self,
        network: LiftingNetworkConfig,
        face_model: FaceModelConfig | None = None,
        weights: LiftingLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.999,
        initial_weights: str | None = None,
    ) -> None:
        chosen = face_model or FaceModelConfig()
        model = bfm.load(chosen.name, chosen.path)
        fingerprint, blocks = landmark_fingerprint(model, network.point_sets), FaceBlocks.of(model)
        made = LiftingNetwork(network, blocks)
        if initial_weights is not None:
            found, _ = load_lifting_network(Path(initial_weights).expanduser(), blocks, fingerprint)
            made.load_state_dict(found.state_dict())
        tie = Tie("landmarks", fingerprint, "other landmarks")
        super().__init__(made, tie, optimiser or OptimiserConfig(), average, "shape_mm")
        self.weights = weights or LiftingLossWeights()
        # In a tuple, so that the face model is not saved in every checkpoint.
        self._fixed = (LandmarkBasis(model, network.point_sets),)
        self._starts_from_mean = initial_weights is None

    @property
    def basis(self) -> LandmarkBasis:
        """Of the landmarks, on the module's device."""
        return self._fixed[0].to(self.device)

    def on_fit_start(self) -> None:
        """A new run takes the mean of the points, which the data know."""
        data = getattr(self.trainer, "datamodule", None)
        if self.batches_seen == 0 and self._starts_from_mean and data is not None:
            mean, sigma = data.point_statistics()
            for network in (self.network, self.averaged):
                network.start_from(mean, sigma)

    def training_step(self, batch: LiftingBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        lifted = self.network(batch.found, batch.told_intrinsics)
        terms = lifting_loss_terms(lifted, batch, self.basis, self.weights, self.network.pivot_mm)
        return self.counted_loss(terms, batch)

    def validation_step(self, batch: LiftingBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            lifted = self.averaged(batch.found, batch.told_intrinsics)
            self.add_metrics(lifting_metrics(lifted, batch, self.basis))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.lifting_checkpoint.load_lifting_network`."""
        return save_lifting_network(path, self.averaged, self.tie.value, metrics, extra)
