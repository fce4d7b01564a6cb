"""Trains pose networks on pictures whose rotation is known."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.networks.network_file import CheckpointError
from recon.networks.pose.build import PoseNetwork, PoseNetworkConfig, build_pose_network
from recon.networks.pose.checkpoint import load_pose_network, save_pose_network
from recon.networks.pose.fsanet import FsaNet
from recon.training.initial_backbone import start_from_landmarks
from recon.training.landmark_batch import LandmarkBatch
from recon.training.module import FaceModelConfig
from recon.training.pose_batch import PoseBatch
from recon.training.pose_losses import PoseLossWeights, pose_loss_terms, pose_metrics
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule


class PoseModule(SingleNetworkModule[PoseNetwork]):
    """Supervised training of any pose network, and fusion training, which goes on from such a one with other data.

    Args:
        network: how it is built, by its ``kind``.
        face_model: of the drawn faces.
        weights: of the losses.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run of the same network to start from.
        initial_backbone: a ``.safetensors`` file of a landmark network with the same backbone, whose features to start from.
        mirrored: share of the crops that are shown mirrored, with the rotation of the mirrored head: twice as many people.

    Raises:
        ValueError: a share beyond [0, 1]; both initial weights and an initial backbone, or a backbone for FSA-Net, which has none.
        CheckpointError: a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        network: PoseNetworkConfig,
        face_model: FaceModelConfig | None = None,
        weights: PoseLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.999,
        initial_weights: str | None = None,
        initial_backbone: str | None = None,
        mirrored: float = 0.0,
    ) -> None:
        if not 0.0 <= mirrored <= 1.0:
            raise ValueError(f"mirrored must lie in [0, 1], got {mirrored}")
        if initial_weights is not None and initial_backbone is not None:
            raise ValueError("give initial_weights or initial_backbone, not both")
        made = build_pose_network(network)
        if initial_weights is not None:
            start_from_weights(made, Path(initial_weights).expanduser())
        if initial_backbone is not None:
            if isinstance(made, FsaNet):
                raise ValueError("FSA-Net has no backbone; leave initial_backbone out")
            start_from_landmarks(made.backbone, initial_backbone)
        super().__init__(made, optimiser or OptimiserConfig(), average, "pose_deg")
        self.weights, self.mirrored = weights or PoseLossWeights(), mirrored
        self.face_model = face_model or FaceModelConfig()

    def training_step(self, batch: LandmarkBatch | PoseBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        image, rotation = batch.image, batch.rotation
        if self.mirrored:
            image, rotation = mirror_some(image, rotation, torch.rand(len(image), device=image.device) < self.mirrored)
        answer = self.network.answer(image.contiguous(memory_format=torch.channels_last))
        return self.counted_loss(pose_loss_terms(answer, rotation, self.weights), batch)

    def validation_step(self, batch: LandmarkBatch | PoseBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            self.add_metrics(pose_metrics(self.averaged(batch.image), batch.rotation))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.pose.checkpoint.load_pose_network`."""
        return save_pose_network(path, self.averaged, metrics, extra)


def mirror_some(
    image: Float[Tensor, "b 3 h w"], rotation: Float[Tensor, "b 3 3"], chosen: Bool[Tensor, " b"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 3"]]:
    """Crops of which those chosen are mirrored left to right, and the rotations of what they show then: M R M, M = diag(-1, 1, 1)."""
    signs = rotation.new_tensor([-1.0, 1.0, 1.0])
    turned = rotation * signs[:, None] * signs
    mirrored = torch.where(chosen[:, None, None, None], image.flip(-1), image)
    return mirrored, torch.where(chosen[:, None, None], turned, rotation)


def start_from_weights(network: PoseNetwork, place: Path) -> None:
    """Take the weights of another run of the same network, of any size of crop.

    Raises:
        CheckpointError: missing, damaged or of another network.
    """
    found, _ = load_pose_network(place, network.config.kind)
    mine = {name: tensor.shape for name, tensor in network.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in found.state_dict().items()}
    if mine != theirs:
        raise CheckpointError(
            f"{place} is of another network than that of the config: {found.config}, expected {network.config}"
        )
    network.load_state_dict(found.state_dict())
