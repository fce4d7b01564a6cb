"""Trains the sync network: pieces of clips of synthetic people, whose lips are known."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.dubbing.voices import voice_meaning
from recon.networks.sync_checkpoint import save_sync_network
from recon.networks.sync_network import SyncConfig, SyncNetwork
from recon.training.schedule import OptimiserConfig
from recon.training.sync_data import SyncBatch
from recon.training.tied_module import Tie, TiedModule

_SHARPNESS = 12.0
"""Factor on the cosine of two points before the softmax."""
_LIPS_UNIT_MM = 5.0
_NETWORK = SyncConfig()


def belonging(video: Float[Tensor, "b n c"], sound: Float[Tensor, "b n c"]) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Cross-entropy of telling each piece of video its own sound among all of the clip, and the other way; and the share that is told."""
    likeness = _SHARPNESS * video @ sound.transpose(1, 2)
    own = torch.arange(likeness.shape[1], device=likeness.device).expand(len(likeness), -1)
    both = nn.functional.cross_entropy(likeness.transpose(1, 2), own) + nn.functional.cross_entropy(likeness, own)
    return 0.5 * both, (likeness.argmax(dim=2) == own).float().mean(dim=1)


class SyncModule(TiedModule[SyncNetwork]):
    """Trains a sync network.

    Args:
        network: how it is built.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        lips: weight of the lips' mean absolute error.

    Raises:
        ValueError: an impossible setting, named.
    """

    def __init__(
        self,
        network: SyncConfig = _NETWORK,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.99,
        lips: float = 1.0,
    ) -> None:
        if not lips >= 0.0:
            raise ValueError(f"the weight of the lips must be at least 0, got {lips}")
        tie = Tie("meaning", voice_meaning("mel"), "another kind of voice")
        super().__init__(SyncNetwork(network), tie, optimiser or OptimiserConfig(), average, "opening_mm")
        self.lips = lips

    def training_step(self, batch: SyncBatch, batch_idx: int) -> Tensor:
        """One step."""
        self.restore_random_state()
        looked = self.network.looked(batch.crops)
        told, _ = belonging(self.network.video_points(looked), self.network.sound_points(batch.features))
        off = (self.network.lips_mm(looked) - batch.lips_mm).abs().mean() / _LIPS_UNIT_MM
        return self.counted_loss({"sync": told, "lips": self.lips * off}, batch)

    def validation_step(self, batch: SyncBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            looked = self.averaged.looked(batch.crops)
            _, share = belonging(self.averaged.video_points(looked), self.averaged.sound_points(batch.features))
            off_mm = (self.averaged.lips_mm(looked) - batch.lips_mm).abs().mean(dim=1)
            self.add_metrics(
                {"told": share, "untold": 1.0 - share, "opening_mm": off_mm[:, 0], "width_mm": off_mm[:, 1]}
            )

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.sync_checkpoint.load_sync_network`."""
        return save_sync_network(path, self.averaged, self.tie.value, metrics, extra)
