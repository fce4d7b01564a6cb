"""Trains the dense landmark network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

import bfm
from losses.landmark_likelihood import gaussian_landmark_nll
from losses.wing import dense_landmark_loss
from recon.networks.landmark_checkpoint import landmark_fingerprint, load_landmark_network, save_landmark_network
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, LandmarkPrediction
from recon.training.landmark_batch import LandmarkBatch
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule

_PAPER_SIDE_PX = 224.0
"""The paper's Wing loss counts in pixels of crops of this side."""


@dataclasses.dataclass(frozen=True)
class LandmarkLossWeights:
    """Of the loss of a landmark network.

    Attributes:
        kind: ``likelihood`` of Gaussians with a sigma a point, or ``wing``, the dissertation's 1.5 Wing + 0.5 MSE in px.
        placement: of the Wing loss of the first places, with ``likelihood``.
        depth: of the likelihood of depths.
        visible: of the cross entropy of visibility.
    """

    kind: Literal["likelihood", "wing"] = "likelihood"
    placement: float = 0.05
    depth: float = 0.3
    visible: float = 0.2


def landmark_loss_terms(
    stages: list[LandmarkPrediction], batch: LandmarkBatch, weights: LandmarkLossWeights
) -> dict[str, Tensor]:
    """Weighted terms by name; their sum is the loss."""
    target, seen = batch.points, batch.visible.to(batch.points.dtype)
    if weights.kind == "wing":
        terms = [dense_landmark_loss(_PAPER_SIDE_PX * s.points, _PAPER_SIDE_PX * target) for s in stages]
        return {"wing": torch.stack(terms).mean()}
    placed = dense_landmark_loss(_PAPER_SIDE_PX * stages[0].points, _PAPER_SIDE_PX * target, squared_weight=0.0)
    plane, depth, visible = [], [], []
    for stage in stages[1:]:
        difference = stage.points - target
        plane.append(gaussian_landmark_nll(difference[..., :2], stage.log_sigma).mean())
        depth.append(gaussian_landmark_nll(difference[..., 2:], stage.log_sigma_depth).mean())
        visible.append(torch.nn.functional.binary_cross_entropy_with_logits(stage.visible, seen))
    return {
        "placement": weights.placement * placed,
        "likelihood": torch.stack(plane).mean(),
        "depth": weights.depth * torch.stack(depth).mean(),
        "visible": weights.visible * torch.stack(visible).mean(),
    }


def landmark_metrics(found: LandmarkPrediction, batch: LandmarkBatch) -> dict[str, Float[Tensor, " b"]]:
    """Errors of each crop: of the first 68 points and the inner 51 of them (Eq. 15: percent of the root of the box's area),
    of all points, seen ones and depths in the same unit; and the share of coordinates of seen points within one sigma."""
    target = batch.points
    marks = target[:, :68, :2]
    box = (marks.amax(dim=1) - marks.amin(dim=1)).prod(dim=-1).sqrt()
    error = 100.0 * (found.points[..., :2] - target[..., :2]).norm(dim=-1) / box[:, None]
    depth = 100.0 * (found.points[..., 2] - target[..., 2]).abs() / box[:, None]
    seen = batch.visible.to(error.dtype)
    scaled = (found.points[..., :2] - target[..., :2]).abs() * torch.exp(-found.log_sigma)[..., None]
    within = (scaled < 1.0).to(error.dtype).mean(dim=-1)
    count = seen.sum(dim=1).clamp_min(1.0)
    return {
        "nme": error[:, :68].mean(dim=1),
        "nme51": error[:, 17:68].mean(dim=1),
        "nme_all": error.mean(dim=1),
        "nme_seen": (error * seen).sum(dim=1) / count,
        "depth": depth.mean(dim=1),
        "within_sigma": (within * seen).sum(dim=1) / count,
        "visible": ((found.visible > 0.0) == batch.visible).to(error.dtype).mean(dim=1),
    }


class LandmarkModule(SingleNetworkModule[LandmarkNetwork]):
    """Trains a landmark network on synthetic faces.

    Args:
        network: how it is built.
        face_model: whose landmark sets it gives.
        weights: of the loss.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from, of any size of crop.

    Raises:
        ValueError: an impossible setting, named.
        CheckpointError: the initial weights are missing, damaged, or of other landmarks.
    """

    def __init__(
        self,
        network: LandmarkNetworkConfig,
        face_model: FaceModelConfig | None = None,
        weights: LandmarkLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.999,
        initial_weights: str | None = None,
    ) -> None:
        chosen = face_model or FaceModelConfig()
        fingerprint = landmark_fingerprint(bfm.load(chosen.name, chosen.path), network.point_sets)
        made = LandmarkNetwork(network)
        if initial_weights is not None:
            found, _ = load_landmark_network(Path(initial_weights).expanduser(), fingerprint)
            made.load_state_dict(found.state_dict())
        super().__init__(made, optimiser or OptimiserConfig(), average, "nme")
        self.weights, self.fingerprint = weights or LandmarkLossWeights(), fingerprint
        self._starts_from_mean = initial_weights is None

    def on_fit_start(self) -> None:
        """A new run's points start from their mean, which the data know."""
        data = getattr(self.trainer, "datamodule", None)
        if self.batches_seen == 0 and self._starts_from_mean and data is not None:
            mean = data.mean_points()
            for network in (self.network, self.averaged):
                network.start_from(mean)

    def training_step(self, batch: LandmarkBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        stages = self.network.stages(batch.image.contiguous(memory_format=torch.channels_last))
        return self.counted_loss(landmark_loss_terms(stages, batch, self.weights), batch)

    def validation_step(self, batch: LandmarkBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            self.add_metrics(landmark_metrics(self.averaged(batch.image), batch))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.landmark_checkpoint.load_landmark_network`."""
        return save_landmark_network(path, self.averaged, self.fingerprint, metrics, extra)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["landmarks"] = self.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other landmarks, then restore."""
        if checkpoint.get("landmarks") != self.fingerprint:
            raise ValueError(
                f"this checkpoint was trained for other landmarks ({checkpoint.get('landmarks')!r}) than those of the face "
                f"model in use ({self.fingerprint!r}); start a new run"
            )
        super().on_load_checkpoint(checkpoint)
