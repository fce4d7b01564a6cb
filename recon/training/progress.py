"""What a run shows and keeps: pictures a second, the best weights, panels for TensorBoard."""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from recon.color import encode_srgb
from recon.io.git import commit_of
from recon.io.parts import remove_leftovers
from recon.training.averaged import AveragedModule
from recon.training.batch import TrainingBatch
from recon.training.module import RegressorModule


class Throughput(Callback):
    """Logs ``images_per_second``, and ``waiting``: the share of time that training waits for data.

    Args:
        every: steps between two figures.
    """

    def __init__(self, every: int = 20) -> None:
        self.every = every
        self._since, self._waited, self._left, self._pictures = 0.0, 0.0, 0.0, 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._since = self._left = time.perf_counter()
        self._waited, self._pictures = 0.0, 0

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The time since the last step ended was spent waiting."""
        self._waited += time.perf_counter() - self._left

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log now and then."""
        self._pictures += len(batch) * trainer.world_size
        now = time.perf_counter()
        if (batch_idx + 1) % self.every == 0:
            spent = now - self._since
            pl_module.log("images_per_second", self._pictures / spent, prog_bar=True)
            pl_module.log("waiting", self._waited / spent, prog_bar=True)
            self._since, self._waited, self._pictures = now, 0.0, 0
        self._left = now

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validation is no waiting."""
        self._left = time.perf_counter()
        self._since, self._waited, self._pictures = self._left, 0.0, 0


class StepCost(Callback):
    """Logs ``cpu_seconds``: the median time on processors of this process's steps, whatever else the machine does meanwhile."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._spent: list[float] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A step begins."""
        self._begun = time.process_time()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """It ended."""
        self._spent.append(time.process_time() - self._begun)
        pl_module.log("cpu_seconds", statistics.median(self._spent))


class BestWeights(Callback):
    """Keeps the averaged weights with the least held-out error as ``best.safetensors`` in the run's folder.

    Args:
        metric: of validation, the less the better.
    """

    def __init__(self, metric: str = "val/nme") -> None:
        self.metric = metric
        self.best = float("inf")

    def state_dict(self) -> dict[str, Any]:
        """Survives a resume."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See :meth:`state_dict`."""
        self.best = float(state_dict["best"])

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remove what a run left that was killed while it wrote."""
        if trainer.is_global_zero and isinstance(pl_module, AveragedModule) and pl_module.run_folder().is_dir():
            remove_leftovers(pl_module.run_folder())

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write if better."""
        found = trainer.callback_metrics.get(self.metric)
        if (
            found is None
            or trainer.sanity_checking
            or not trainer.is_global_zero
            or not isinstance(pl_module, AveragedModule)
        ):
            return
        if float(found) < self.best:
            self.best = float(found)
            _write_weights(trainer, pl_module, "best.safetensors")


class FinalWeights(Callback):
    """Keeps the averaged weights of the run's end as ``final.safetensors`` in its folder: of runs for which held-out data do not tell
    what is best, as in adaptation to a domain without labels."""

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write, unless the run was stopped before its end."""
        if trainer.is_global_zero and isinstance(pl_module, AveragedModule) and not trainer.interrupted:
            _write_weights(trainer, pl_module, "final.safetensors")


def _write_weights(trainer: lightning.Trainer, module: AveragedModule, name: str) -> None:
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
    folder = module.run_folder()
    folder.mkdir(parents=True, exist_ok=True)
    extra = {
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit_of(Path(__file__)) or "unknown",
        "step": str(module.batches_seen),
    }
    module.save_weights(folder / name, metrics, extra)


class Panels(Callback):
    """Pictures in TensorBoard at each validation: input, rendered head, overlay, depth; one face a column.

    Args:
        count: faces.
    """

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Render the first faces of the first batch."""
        writer = getattr(pl_module.logger, "experiment", None)
        if (
            batch_idx
            or writer is None
            or not hasattr(writer, "add_image")
            or not isinstance(pl_module, RegressorModule)
        ):
            return
        writer.add_image("faces", face_panel(pl_module, batch.select(slice(0, self.count))), pl_module.batches_seen)


@torch.no_grad()
def face_panel(module: RegressorModule, batch: TrainingBatch) -> Float[Tensor, "3 h w"]:
    """Rows: input, rendered, overlay, depth in grey from the nearest (white) to 200 mm behind it; and, where it is known,
    the true depth."""
    found = module.averaged(batch.image, batch.intrinsics)
    faces = module.decoder.decode(found, batch.intrinsics)
    rendered = faces.render(batch.size)
    image = encode_srgb(rendered.image, module.decoder.model.albedo_space)
    rows = [batch.image, image, rendered.mask * image + (1.0 - rendered.mask) * batch.image, _grey(rendered.depth_mm)]
    if batch.depth_mm is not None:
        rows.append(_grey(batch.depth_mm))
    return torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2).cpu()


def _grey(depth_mm: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 h w"]:
    inside = depth_mm > 0.0
    nearest = torch.where(inside, depth_mm, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    level = 1.0 - ((depth_mm - nearest) / 200.0).clamp(0.0, 1.0)
    return torch.where(inside, level, torch.zeros_like(level)).expand(-1, 3, -1, -1)
