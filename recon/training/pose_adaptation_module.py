"""Trains a pose network and a domain classifier against each other (Eq. 11 and 12 of the head pose paper)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recon.networks.pose.build import PoseNetworkConfig
from recon.networks.pose.domain import DomainClassifier, reverse_gradient
from recon.networks.pose.fsanet import N_FEATURES, FsaNet
from recon.networks.pose.prediction import AngleAnswer
from recon.training.module import FaceModelConfig
from recon.training.pose_adaptation import ReversalConfig
from recon.training.pose_batch import PoseBatch
from recon.training.pose_losses import PoseLossWeights, pose_loss_terms
from recon.training.pose_module import PoseModule
from recon.training.schedule import OptimiserConfig, make_optimiser, make_scheduler

_FEATURE_SIZE = 64


class PoseAdaptationModule(PoseModule):
    """The second phase: pose on source crops, domain on both through a reversed gradient.

    The objective is J = L_pose - mu L_domain for the network and L_domain for the classifier, in one step: the reversal makes the
    one of the other. Source is 1, target 0. There is nothing to choose the best weights by that is not the test itself, so those of
    the last step are kept (:class:`recon.training.progress.FinalWeights`).

    Args:
        network: an FSA-Net, whose fine-grained features the classifier looks at.
        initial_weights: of the first phase.
        reversal: strength of the reversed gradient.
        face_model, weights, optimiser, average: as of :class:`recon.training.pose_module.PoseModule`. ``optimiser.total`` is
            the length of the run that the ramp of the strength goes by.

    Raises:
        ValueError: another network, or no initial weights.
        CheckpointError: the weights are missing, damaged or of another network.
    """

    def __init__(
        self,
        network: PoseNetworkConfig,
        initial_weights: str,
        reversal: ReversalConfig | None = None,
        face_model: FaceModelConfig | None = None,
        weights: PoseLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.99,
    ) -> None:
        super().__init__(network, face_model, weights, optimiser, average, initial_weights)
        if not isinstance(self.network, FsaNet):
            raise ValueError(
                f"adaptation looks at the fine-grained features of an FSA-Net, and a {network.kind} has none; set network.kind to "
                "fsanet"
            )
        self.reversal = reversal or ReversalConfig()
        self.classifier = DomainClassifier(N_FEATURES * _FEATURE_SIZE)
        self._facts: dict[str, Any] = {}

    def on_fit_start(self) -> None:
        """Note what is adapted to."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self._facts = data.facts()

    @property
    def mu(self) -> float:
        """Strength of the reversed gradient in the next step."""
        return self.reversal.mu(self.batches_seen / self.optimiser.total)

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        return self.counted_loss(self.loss_terms(batch), batch)

    def loss_terms(self, batch: PoseBatch) -> dict[str, Tensor]:
        """Weighted terms by name. The features of both domains go through the network together, so that its norms see both.

        Raises:
            ValueError: a batch without pictures of the target.
        """
        if batch.target is None:
            raise ValueError(
                "adaptation needs pictures of the target; use recon.training.pose_adaptation_data.PoseAdaptationData"
            )
        both = torch.cat((batch.image, batch.target)).contiguous(memory_format=torch.channels_last)
        answer = self.network.answer(both)
        assert isinstance(answer, AngleAnswer) and answer.features is not None
        count = len(batch)
        terms = pose_loss_terms(AngleAnswer(answer.angles_deg[:count]), batch.rotation, self.weights)
        domain = torch.zeros(len(both), device=both.device)
        domain[:count] = 1.0
        logits = self.classifier(reverse_gradient(answer.features, self.mu))
        crossed = nn.functional.binary_cross_entropy_with_logits(logits, domain)
        return {**terms, "domain": self.reversal.domain * crossed}

    def configure_optimizers(self) -> Any:
        """Optimiser over network and classifier, and a schedule that advances every step."""
        optimiser = make_optimiser(nn.ModuleList([self.network, self.classifier]), self.optimiser)
        schedule = {"scheduler": make_scheduler(optimiser, self.optimiser), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, with what they were adapted to in the header."""
        return super().save_weights(path, metrics, {**(extra or {}), "adaptation": json.dumps(self._facts)})
