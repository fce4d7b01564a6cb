"""What the modules share that train one network of their own by synthetic pictures: its average, its optimiser, and means over
validation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.training.averaged import AveragedModule
from recon.training.schedule import OptimiserConfig, make_optimiser, make_scheduler

Network = TypeVar("Network", bound=nn.Module)


class SingleNetworkModule(AveragedModule, Generic[Network]):
    """One network and its average, which validation and checkpoints use.

    Args:
        network: with its initial weights.
        optimiser: how it moves.
        average: decay of the averaged weights; 0 keeps the latest.
        shown: the metric of the progress bar.

    Raises:
        ValueError: a decay that is none.
    """

    def __init__(self, network: Network, optimiser: OptimiserConfig, average: float, shown: str) -> None:
        super().__init__(average)
        self.optimiser, self._shown = optimiser, shown
        self.network: Network = network.to(memory_format=torch.channels_last)
        self.averaged: Network = copy.deepcopy(network).requires_grad_(False)
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    @property
    def trained(self) -> Network:
        """The network that learns."""
        return self.network

    @property
    def followed(self) -> Network:
        """Its average."""
        return self.averaged

    def counted_loss(self, terms: dict[str, Tensor], batch: Any) -> Tensor:
        """The sum of a step's terms; each is logged under its own name.

        Raises:
            TrainingDiverged: it is no number; the batch was saved.
        """
        total = torch.stack(list(terms.values())).sum()
        if not bool(torch.isfinite(total)):
            self.stop_diverged(total, terms, batch.tensors())
        self.log_dict({f"loss/{name}": term.detach() for name, term in terms.items()}, batch_size=len(batch))
        self.log("loss/total", total.detach(), prog_bar=True, batch_size=len(batch))
        self.batches_seen += 1
        return total

    def on_validation_epoch_start(self) -> None:
        """Start anew."""
        self.averaged.eval()
        self._sums, self._count = {}, 0

    def add_metrics(self, metrics: Mapping[str, Float[Tensor, " b"]]) -> None:
        """Count a batch's metrics, each with one value a picture."""
        for name, values in metrics.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=self.device)) + values.sum()
        self._count += len(next(iter(metrics.values())))

    def on_validation_epoch_end(self) -> None:
        """Log the means over all pictures."""
        for name, value in self._sums.items():
            self.log(f"val/{name}", value / self._count, prog_bar=name == self._shown, sync_dist=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def configure_optimizers(self) -> Any:
        """Optimiser and a schedule that advances every step."""
        optimiser = make_optimiser(self.network, self.optimiser)
        schedule = {"scheduler": make_scheduler(optimiser, self.optimiser), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}
