"""What the modules share whose networks hear a voice: its meaning goes with the weights and is compared at a resume."""

from __future__ import annotations

from typing import Any

from recon.dubbing.voices import voice_meaning
from recon.networks.diffusion.editor_network import Voice
from recon.networks.network_file import CheckpointError
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import Network, SingleNetworkModule


class VoicedModule(SingleNetworkModule[Network]):
    """One network that hears a voice.

    Args:
        network: with its initial weights.
        voice: what it hears.
        optimiser: how it moves.
        average: decay of the averaged weights; 0 keeps the latest.
        shown: the metric of the progress bar.

    Attributes:
        meaning: of the voice, see :func:`recon.dubbing.voices.voice_meaning`.

    Raises:
        ValueError: a decay that is none.
    """

    def __init__(self, network: Network, voice: Voice, optimiser: OptimiserConfig, average: float, shown: str) -> None:
        super().__init__(network, optimiser, average, shown)
        self.meaning = voice_meaning(voice)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["meaning"] = self.meaning

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another voice, then restore.

        Raises:
            CheckpointError: with what to do instead.
        """
        if checkpoint.get("meaning") != self.meaning:
            raise CheckpointError(
                "this checkpoint was trained for another kind of voice than this run's; start a new run"
            )
        super().on_load_checkpoint(checkpoint)
