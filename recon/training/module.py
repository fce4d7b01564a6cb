"""The training module: one step, validation on faces with known truth, averaged weights."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, NoReturn

import lightning
import torch
from torch import Tensor

import bfm
from losses.total import LossWeights, weighted_sum
from recon.decoder import FaceDecoder
from recon.networks.checkpoint import CheckpointError, save_checkpoint
from recon.networks.compiling import compile_network
from recon.networks.head import FaceBlocks
from recon.networks.regressor import Regressor, RegressorConfig
from recon.parameters import FaceParameters
from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import Segmenter
from recon.training.batch import TrainingBatch
from recon.training.embedding import EmbeddingConfig, open_embedding
from recon.training.initial_weights import load_initial_weights
from recon.training.schedule import OptimiserConfig, make_optimiser, make_scheduler
from recon.training.terms import LossNetworks, loss_terms
from recon.training.validation import Summary, validate_batch

_RANDOM_STATES = ("random_state", "random_state_cuda")


class TrainingDiverged(RuntimeError):
    """A loss became nan or inf; the batch was saved."""


@dataclasses.dataclass(frozen=True)
class FaceModelConfig:
    """The face model that is trained for.

    Attributes:
        name: see ``recon models``.
        path: of its files; ``None`` is the default folder.
        render_region: the part that pictures are drawn of; ``None`` is all.
    """

    name: str = "open"
    path: str | None = None
    render_region: str | None = None


class RegressorModule(lightning.LightningModule):
    """Trains a regressor on whatever its batches know: synthetic faces, labelled or unlabelled photos.

    Args:
        regressor: how the network is built.
        face_model: what it predicts.
        weights: of the losses.
        optimiser: how it moves.
        embedding: the face recognition network of the perceptual loss.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        picture_every: losses that need a rendered picture are computed in every k-th step, with k times their weight.
        backbone_options: passed on to timm, to build smaller networks.
        initial_weights: a ``.safetensors`` or ``.ckpt`` file of another run, whose averaged weights the network starts from
            (instead of ImageNet's); everything else starts anew. The same network for the same face model.
        segmenter: tells where photos show the face, for the photometric loss (Eq. 11), unless a batch has masks; ``None`` is
            a :class:`recon.segmentation.residual.ResidualSegmenter`. Any subclass of
            :class:`recon.segmentation.segmenter.Segmenter`.
        compile: train the network through ``torch.compile``. Worth its minutes of compiling in long runs on a GPU.

    Raises:
        ValueError: an impossible setting, named.
        CheckpointError: the initial weights are missing, damaged or another network's.
    """

    def __init__(
        self,
        regressor: RegressorConfig,
        face_model: FaceModelConfig | None = None,
        weights: LossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        embedding: EmbeddingConfig | None = None,
        average: float = 0.999,
        picture_every: int = 1,
        backbone_options: dict[str, Any] | None = None,
        compile: bool = False,
        initial_weights: str | None = None,
        segmenter: Segmenter | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= average < 1.0:
            raise ValueError(f"the decay of averaged weights must lie in [0, 1), got {average}")
        if picture_every < 1:
            raise ValueError(f"picture_every must be at least 1, got {picture_every}")
        self.weights = weights or LossWeights()
        self.optimiser = optimiser or OptimiserConfig()
        self.average, self.picture_every, self.compiled = average, picture_every, compile
        chosen = face_model or FaceModelConfig()
        model = bfm.load(chosen.name, chosen.path)
        if initial_weights is not None:
            regressor = dataclasses.replace(regressor, pretrained=False)
        self.regressor = Regressor(regressor, FaceBlocks.of(model), **(backbone_options or {}))
        if initial_weights is not None:
            load_initial_weights(self.regressor, Path(initial_weights).expanduser())
        # A quarter faster on CPUs, and what tensor cores want.
        self.regressor.to(memory_format=torch.channels_last)
        self.backbone_options = dict(backbone_options or {})
        self.averaged = copy.deepcopy(self.regressor).requires_grad_(False)
        # In a tuple, so that neither the face model nor frozen networks are saved in every checkpoint.
        self._fixed = (
            FaceDecoder(model, chosen.render_region),
            open_embedding(embedding, self.weights.perceptual > 0.0),
            segmenter or ResidualSegmenter(),
        )
        self.batches_seen = 0
        self._random_states: dict[str, Tensor] = {}
        self._summary: Summary | None = None

    def on_fit_start(self) -> None:
        """Compile, now that the device is known; the averaged copy is for validation and stays as it is.

        Raises:
            CompilerMissing: it was asked for and cannot work here.
        """
        if self.compiled:
            compile_network(self.regressor, self.device.type)

    @property
    def decoder(self) -> FaceDecoder:
        """What the face model makes of coefficients, on the module's device."""
        decoder = self._fixed[0]
        if decoder.model.mean_shape.device != self.device:
            decoder.to(self.device)
        return decoder

    def loss_networks(self) -> LossNetworks:
        """Networks of the perceptual, adversarial and photometric terms, on the module's device."""
        _, embedding, segmenter = self._fixed
        for network in (embedding, segmenter):
            if isinstance(network, torch.nn.Module):
                network.to(self.device)
        return LossNetworks(embedding=embedding, segmenter=segmenter)

    def forward(self, pictures: Tensor, intrinsics: Tensor):  # type: ignore[no-untyped-def]
        """Coefficients by the averaged weights."""
        return self.averaged(pictures, intrinsics)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """One step: the weighted sum of all terms, each logged under its own name."""
        self.restore_random_state()
        total, _ = self._loss(batch, self._weights_now(), self.loss_networks())
        self.batches_seen += 1
        return total

    def _weights_now(self) -> LossWeights:
        """Weights of this step; see ``picture_every``."""
        if self.picture_every == 1:
            return self.weights
        now = float(self.picture_every) if self.batches_seen % self.picture_every == 0 else 0.0
        return self.weights.scaled(self.weights.RENDERED_TERMS, now)

    def _loss(
        self, batch: TrainingBatch, weights: LossWeights, networks: LossNetworks, prefix: str = "loss"
    ) -> tuple[Tensor, FaceParameters]:
        """The weighted sum of a batch's loss terms, and the parameters that it was taken of."""
        coefficients = self.regressor(batch.image.contiguous(memory_format=torch.channels_last), batch.intrinsics)
        if self.device.type == "cpu" and not all(bool(t.isfinite().all()) for t in coefficients.tensors().values()):
            # On a CPU the face model would refuse them; on a GPU they show in the loss, and nobody waits for a check.
            self._stop(torch.tensor(torch.nan), {}, batch)
        # Geometry in full precision: half precision is blind to a millimetre at one metre.
        with torch.autocast(self.device.type, enabled=False):
            faces = self.decoder.decode(coefficients, batch.intrinsics)
            terms = loss_terms(faces, batch, weights, networks)
            total = weighted_sum(terms, weights)
        if not bool(torch.isfinite(total)):
            self._stop(total, terms, batch)
        self.log_dict({f"{prefix}/{name}": term.detach() for name, term in terms.items()}, batch_size=len(batch))
        self.log(f"{prefix}/total", total.detach(), prog_bar=True, batch_size=len(batch))
        return total, coefficients

    def _stop(self, total: Tensor, terms: dict[str, Tensor], batch: TrainingBatch) -> NoReturn:
        from safetensors.torch import save

        from recon.io.files import write_file

        folder = self.run_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"diverged_step{self.batches_seen}_rank{self.global_rank}.safetensors"
        tensors = {name: tensor.contiguous().cpu() for name, tensor in batch.tensors().items()}
        write_file(path, save(tensors), overwrite=True)
        values = (
            ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in terms.items())
            or "the network's answer is not finite"
        )
        raise TrainingDiverged(
            f"the loss is {float(total.detach())} in step {self.batches_seen} ({values}); the batch was saved to {path}. Lower the "
            "learning rate, clip gradients (trainer.gradient_clip_val) or look at the batch"
        )

    def run_folder(self) -> Path:
        """Where this run writes."""
        trainer = self._trainer
        return Path((trainer.log_dir or trainer.default_root_dir) if trainer is not None else ".")

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Move the weights, then their average: not in a hook after the batch, which runs after checkpoints are written."""
        super().optimizer_step(*arguments, **options)
        self.update_average()

    def update_average(self) -> None:
        """Move the averaged weights towards the latest; a young average follows quickly."""
        decay = min(self.average, (1.0 + self.batches_seen) / (10.0 + self.batches_seen))
        with torch.no_grad():
            for kept, now in zip(self.averaged.parameters(), self.regressor.parameters(), strict=True):
                kept.lerp_(now, 1.0 - decay)
            for fixed, latest in zip(self.averaged.buffers(), self.regressor.buffers(), strict=True):
                fixed.copy_(latest)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        checkpoint["batches_seen"] = self.batches_seen
        checkpoint["random_state"] = torch.get_rng_state()
        if torch.cuda.is_available():
            checkpoint["random_state_cuda"] = torch.cuda.get_rng_state()
        checkpoint["face_blocks"] = self.regressor.blocks.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another face model, an earlier version or another step of the recipe, then restore.

        Raises:
            CheckpointError: with what to do instead.
        """
        missing = sorted({"face_blocks", "batches_seen", "state_dict"} - set(checkpoint))
        if missing:
            raise CheckpointError(
                f"this checkpoint lacks {', '.join(missing)}: an early version or another program wrote it, and no run can go "
                "on from it; start a new one without --ckpt_path"
            )
        self._check_recipe({name.partition(".")[0] for name in checkpoint["state_dict"]})
        found = FaceBlocks.of_dict(checkpoint.get("face_blocks"))
        if found != self.regressor.blocks:
            raise CheckpointError(
                f"this checkpoint was trained for the face model {found}, the config asks for {self.regressor.blocks}"
            )
        difference = found.difference(self.regressor.blocks)
        if difference:
            raise CheckpointError(
                f"this checkpoint was trained for another version of the face model {found.model!r}, which differs in "
                f"{difference}: a run cannot go on with the version in use; start a new one"
            )
        self.batches_seen = int(checkpoint["batches_seen"])
        self._random_states = {name: checkpoint[name] for name in _RANDOM_STATES if name in checkpoint}

    def _check_recipe(self, parts: set[str]) -> None:
        """Refuse the parts of a checkpoint if they are those of another step of the recipe."""
        own = {name.partition(".")[0] for name in self.state_dict()}
        if parts != own:
            raise CheckpointError(
                f"this checkpoint holds {', '.join(sorted(parts))}, and {type(self).__name__} has {', '.join(sorted(own))}: it is "
                "of another module, as step 1's is in step 2. Leave --ckpt_path out and start from its network with "
                "--model.init_args.initial_weights"
            )

    def restore_random_state(self) -> None:
        """Once, in the first step after a resume: making the loaders has drawn random numbers before it."""
        if "random_state" in self._random_states:
            torch.set_rng_state(self._random_states["random_state"].cpu())
        if "random_state_cuda" in self._random_states and torch.cuda.is_available():
            torch.cuda.set_rng_state(self._random_states["random_state_cuda"].cpu())
        self._random_states = {}

    def on_validation_epoch_start(self) -> None:
        """Start a new summary."""
        self.averaged.eval()
        self._summary = Summary()

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Predict a batch and add its errors to the summary."""
        assert self._summary is not None
        with torch.no_grad():
            coefficients = self.averaged(batch.image, batch.intrinsics)
            self._summary.add(validate_batch(self.decoder, coefficients, batch))

    def on_validation_epoch_end(self) -> None:
        """Log the means over all pictures, of all processes."""
        assert self._summary is not None
        values = self._summary.means()
        for name, value in values.items():
            self.log(f"val/{name}", value, prog_bar=name == "nme", sync_dist=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights as a safetensors checkpoint that :func:`recon.networks.checkpoint.load_regressor` reads."""
        return save_checkpoint(path, self.averaged, metrics, extra or {}, self.backbone_options)

    def configure_optimizers(self) -> Any:
        """Optimiser and a schedule that advances every step."""
        optimiser = make_optimiser(self.regressor, self.optimiser)
        schedule = {"scheduler": make_scheduler(optimiser, self.optimiser), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}
