"""Trains published depth networks with a teacher: picture in, coded depth out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from losses.depth.objective import DepthObjective
from recon.networks.depth.checkpoint import load_depth_network, save_depth_network
from recon.networks.depth.map_depth import MapDepthConfig, MapDepthNetwork
from recon.networks.network_file import CheckpointError
from recon.training.depth_batch import DepthBatch
from recon.training.depth_metrics import depth_metrics
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule


def map_network(config: MapDepthConfig, initial_weights: str | None) -> MapDepthNetwork:
    """A new network, or one with the weights of another run.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    made = MapDepthNetwork(config)
    if initial_weights is None:
        return made
    found, _ = load_depth_network(Path(initial_weights).expanduser())
    if not isinstance(found, MapDepthNetwork) or found.config.architecture != config.architecture:
        raise CheckpointError(
            f"{initial_weights} is of another network than the config's {config.architecture}: {found.config}"
        )
    made.load_state_dict(found.state_dict())
    return made


def check_objective(objective: DepthObjective) -> None:
    """Refuse losses that need more than a batch of depth maps has.

    Raises:
        ValueError: one does, named by what it needs.
    """
    if objective.needs:
        raise ValueError(
            f"the losses {', '.join(name for name, weight in objective.weights.items() if weight > 0.0)} need "
            f"{', '.join(sorted(objective.needs))}, which depth modules do not give: choose others of docs/depth_losses.md"
        )


class DepthModule(SingleNetworkModule[MapDepthNetwork]):
    """Trains a network of depth maps by a sum of losses on the code of its depth.

    Args:
        network: which one.
        objective: the losses, in units of the code.
        face_model: whose faces.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.

    Raises:
        CheckpointError: the initial weights are missing, damaged, or of another network.
        ValueError: see :func:`check_objective`.
    """

    def __init__(
        self,
        network: MapDepthConfig,
        objective: DepthObjective,
        face_model: FaceModelConfig | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.0,
        initial_weights: str | None = None,
    ) -> None:
        made = map_network(network, initial_weights)
        super().__init__(made, optimiser or OptimiserConfig(), average, "scaled_rmse_mm")
        check_objective(objective)
        self.objective, self.face_model = objective, face_model or FaceModelConfig()

    def training_step(self, batch: DepthBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        found = self.network(batch.image.contiguous(memory_format=torch.channels_last))
        target = self.network.config.coding.encode(batch.depth_mm, batch.focal_sides)
        return self.counted_loss(self.objective.terms(found, target, batch.known), batch)

    def validation_step(self, batch: DepthBatch, batch_idx: int) -> None:
        """Add a batch's errors on the face."""
        with torch.no_grad():
            found_mm = self.averaged.depth_mm(batch.image, batch.focal_sides)
            self.add_metrics(depth_metrics(found_mm, batch.depth_mm, batch.face))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.depth.checkpoint.load_depth_network`."""
        return save_depth_network(path, self.averaged, metrics, extra)
