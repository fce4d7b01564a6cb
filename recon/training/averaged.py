"""What all training modules share: averaged weights, exact resumes, and a stop when the loss is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_RANDOM_STATES = ("random_state", "random_state_cuda")


class TrainingDiverged(RuntimeError):
    """A loss became nan or inf; the batch was saved."""


class AveragedModule(lightning.LightningModule):
    """A module whose network is followed by an average of its weights, which validation and checkpoints use.

    Args:
        average: decay of the averaged weights; 0 keeps the latest.

    Raises:
        ValueError: a decay that is none.
    """

    def __init__(self, average: float) -> None:
        super().__init__()
        if not 0.0 <= average < 1.0:
            raise ValueError(f"the decay of averaged weights must lie in [0, 1), got {average}")
        self.average = average
        self.batches_seen = 0
        self._random_states: dict[str, Tensor] = {}

    @property
    def trained(self) -> nn.Module:
        """The network that learns."""
        raise NotImplementedError

    @property
    def followed(self) -> nn.Module:
        """Its average."""
        raise NotImplementedError

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights as a safetensors file with their description."""
        raise NotImplementedError

    def run_folder(self) -> Path:
        """Where this run writes. Any process may ask alone: ``Trainer.log_dir`` would wait for all others to ask, too."""
        trainer = self._trainer
        if trainer is None:
            return Path(".")
        logger = trainer.logger
        own = getattr(logger, "log_dir", None) or getattr(logger, "save_dir", None)
        return Path(own or trainer.default_root_dir)

    def stop_diverged(self, total: Tensor, terms: dict[str, Tensor], batch: dict[str, Tensor]) -> NoReturn:
        """Save the batch and end the run.

        Raises:
            TrainingDiverged: always.
        """
        from safetensors.torch import save

        from recon.io.files import write_file

        folder = self.run_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"diverged_step{self.batches_seen}_rank{self.global_rank}.safetensors"
        write_file(path, save({name: t.contiguous().cpu() for name, t in batch.items()}), overwrite=True)
        values = (
            ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in terms.items())
            or "the network's answer is not finite"
        )
        raise TrainingDiverged(
            f"the loss is {float(total.detach())} in step {self.batches_seen} ({values}); the batch was saved to {path}. Lower the "
            "learning rate, clip gradients (trainer.gradient_clip_val) or look at the batch"
        )

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Move the weights, then their average: not in a hook after the batch, which runs after checkpoints are written."""
        super().optimizer_step(*arguments, **options)
        self.update_average()

    def update_average(self) -> None:
        """Move the averaged weights towards the latest; a young average follows quickly."""
        decay = min(self.average, (1.0 + self.batches_seen) / (10.0 + self.batches_seen))
        with torch.no_grad():
            # In one call: on a GPU hundreds of small ones take longer.
            get_ema_multi_avg_fn(decay)(list(self.followed.parameters()), list(self.trained.parameters()), None)
            for fixed, latest in zip(self.followed.buffers(), self.trained.buffers(), strict=True):
                fixed.copy_(latest)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        checkpoint["batches_seen"] = self.batches_seen
        checkpoint["random_state"] = torch.get_rng_state()
        if torch.cuda.is_available():
            checkpoint["random_state_cuda"] = torch.cuda.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self.batches_seen = int(checkpoint["batches_seen"])
        self._random_states = {name: checkpoint[name] for name in _RANDOM_STATES if name in checkpoint}

    def restore_random_state(self) -> None:
        """Once, in the first step after a resume: making the loaders has used random numbers before it."""
        if "random_state" in self._random_states:
            torch.set_rng_state(self._random_states["random_state"].cpu())
        if "random_state_cuda" in self._random_states and torch.cuda.is_available():
            torch.cuda.set_rng_state(self._random_states["random_state_cuda"].cpu())
        self._random_states = {}
