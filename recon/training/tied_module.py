"""What the modules share whose weights go with something outside of them: it is written beside them and compared at a resume."""

from __future__ import annotations

import dataclasses
from typing import Any

from recon.networks.network_file import CheckpointError
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import Network, SingleNetworkModule


@dataclasses.dataclass(frozen=True)
class Tie:
    """What weights go with.

    Attributes:
        key: in checkpoints.
        value: a fingerprint or a description.
        what: in words, for the message of a checkpoint of another value: "other landmarks".
    """

    key: str
    value: str
    what: str


class TiedModule(SingleNetworkModule[Network]):
    """One network that goes with a way of hearing voices, or with landmarks.

    Args:
        network: with its initial weights.
        tie: what it goes with.
        optimiser: how it moves.
        average: decay of the averaged weights; 0 keeps the latest.
        shown: the metric of the progress bar.

    Raises:
        ValueError: a decay that is none.
    """

    def __init__(self, network: Network, tie: Tie, optimiser: OptimiserConfig, average: float, shown: str) -> None:
        super().__init__(network, optimiser, average, shown)
        self.tie = tie

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[self.tie.key] = self.tie.value

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that goes with something else, then restore.

        Raises:
            CheckpointError: with what to do instead.
        """
        found = checkpoint.get(self.tie.key)
        if found != self.tie.value:
            raise CheckpointError(
                f"this checkpoint was trained for {self.tie.what} ({found!r}) than this run's ({self.tie.value!r}); start a new run"
            )
        super().on_load_checkpoint(checkpoint)
