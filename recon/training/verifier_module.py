"""Trains the verifier of Pini et al. 2018 on true depth: are two depth maps of one person?"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.depth.verifier_checkpoint import load_verifier, save_verifier
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule
from recon.training.verifier_data import VerifierBatch


class VerifierModule(SingleNetworkModule[SiameseVerifier]):
    """Binary cross-entropy of pairs. The paper prints neither its loss nor its optimiser.

    Args:
        face_model: whose faces.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.

    Raises:
        CheckpointError: the initial weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        face_model: FaceModelConfig | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.0,
        initial_weights: str | None = None,
    ) -> None:
        made = SiameseVerifier()
        if initial_weights is not None:
            found, _ = load_verifier(Path(initial_weights).expanduser())
            made.load_state_dict(found.state_dict())
        super().__init__(made, optimiser or OptimiserConfig(), average, "accuracy")
        self.face_model = face_model or FaceModelConfig()

    def training_step(self, batch: VerifierBatch, batch_idx: int) -> Tensor:
        """One step."""
        self.restore_random_state()
        return self.counted_loss({"same": _costs(self.network, batch).mean()}, batch)

    def validation_step(self, batch: VerifierBatch, batch_idx: int) -> None:
        """Add a batch's costs, and which pairs are told right."""
        with torch.no_grad():
            told = self.averaged(batch.first, batch.second) > 0.0
            self.add_metrics({"accuracy": (told == batch.same).float(), "cost": _costs(self.averaged, batch)})

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.depth.verifier_checkpoint.load_verifier`."""
        return save_verifier(path, self.averaged, metrics, extra)


def _costs(verifier: SiameseVerifier, batch: VerifierBatch) -> Tensor:
    logits = verifier(batch.first, batch.second)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.same.to(logits), reduction="none")
