"""The training module: one step, validation on faces with known truth, averaged weights."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import bfm
from losses.total import LossWeights, weighted_sum
from recon.decoder import FaceDecoder
from recon.networks.checkpoint import save_checkpoint
from recon.networks.compiling import compile_network
from recon.networks.head import FaceBlocks
from recon.networks.network_file import CheckpointError
from recon.networks.regressor import Regressor, RegressorConfig
from recon.parameters import FaceParameters
from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import Segmenter
from recon.training.averaged import AveragedModule
from recon.training.batch import TrainingBatch
from recon.training.embedding import EmbeddingConfig, open_embedding
from recon.training.initial_weights import load_initial_weights
from recon.training.run_config import RunConfig
from recon.training.schedule import OptimiserConfig, make_optimiser, make_scheduler
from recon.training.terms import LossNetworks, loss_terms
from recon.training.validation import ErrorMeans, validate_batch

_RUN = RunConfig()


@dataclasses.dataclass(frozen=True)
class FaceModelConfig:
    """The face model that is trained for.

    Attributes:
        name: see ``recon models``.
        path: of its files; ``None`` is the default folder.
        render_region: the part of the head that is rendered; ``None`` is all.
    """

    name: str = "open"
    path: str | None = None
    render_region: str | None = None


class RegressorModule(AveragedModule):
    """Trains a regressor on whatever its batches know: synthetic faces, labelled or unlabelled photos.

    Args:
        regressor: how the network is built.
        face_model: what it predicts.
        weights: of the losses.
        optimiser: how it moves.
        embedding: the face recognition network of the perceptual loss.
        run: from where it starts, and how its steps are made and averaged.
        segmenter: tells where photos show the face, for the photometric loss (Eq. 11), unless a batch has masks; ``None`` is
            a :class:`recon.segmentation.residual.ResidualSegmenter`. Any subclass of
            :class:`recon.segmentation.segmenter.Segmenter`.

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
        run: RunConfig = _RUN,
        segmenter: Segmenter | None = None,
    ) -> None:
        super().__init__(run.average)
        self.weights = weights or LossWeights()
        self.optimiser = optimiser or OptimiserConfig()
        self.run = run
        chosen = face_model or FaceModelConfig()
        model = bfm.load(chosen.name, chosen.path)
        if run.initial_weights is not None:
            regressor = dataclasses.replace(regressor, pretrained=False)
        self.regressor = Regressor(regressor, FaceBlocks.of(model))
        if run.initial_weights is not None:
            load_initial_weights(self.regressor, Path(run.initial_weights).expanduser())
        # A quarter faster on CPUs, and what tensor cores want.
        self.regressor.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.regressor).requires_grad_(False)
        # In a tuple, so that neither the face model nor frozen networks are saved in every checkpoint.
        self._fixed = (
            FaceDecoder(model, chosen.render_region),
            open_embedding(embedding, self.weights.perceptual > 0.0),
            segmenter or ResidualSegmenter(),
        )
        self._errors: ErrorMeans | None = None

    def on_fit_start(self) -> None:
        """Compile, now that the device is known; the averaged copy is for validation and stays as it is.

        Raises:
            CompilerMissing: it was asked for and cannot work here.
        """
        if self.run.compile:
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
        every = self.run.picture_every
        if every == 1:
            return self.weights
        now = float(every) if self.batches_seen % every == 0 else 0.0
        return self.weights.scaled(self.weights.RENDERED_TERMS, now)

    def _loss(
        self, batch: TrainingBatch, weights: LossWeights, networks: LossNetworks, prefix: str = "loss"
    ) -> tuple[Tensor, FaceParameters]:
        """The weighted sum of a batch's loss terms, and the parameters that it was taken of."""
        coefficients = self.regressor(batch.image.contiguous(memory_format=torch.channels_last), batch.intrinsics)
        if self.device.type == "cpu" and not all(bool(t.isfinite().all()) for t in coefficients.tensors().values()):
            # On a CPU the face model would refuse them; on a GPU they show in the loss, and nobody waits for a check.
            self.stop_diverged(torch.tensor(torch.nan), {}, batch.tensors())
        # Geometry in full precision: half precision is blind to a millimetre at one metre.
        with torch.autocast(self.device.type, enabled=False):
            faces = self.decoder.decode(coefficients, batch.intrinsics)
            terms = loss_terms(faces, batch, weights, networks)
            total = weighted_sum(terms, weights)
        if not bool(torch.isfinite(total)):
            self.stop_diverged(total, terms, batch.tensors())
        self.log_dict({f"{prefix}/{name}": term.detach() for name, term in terms.items()}, batch_size=len(batch))
        self.log(f"{prefix}/total", total.detach(), prog_bar=True, batch_size=len(batch))
        return total, coefficients

    @property
    def trained(self) -> Regressor:
        """The network that learns."""
        return self.regressor

    @property
    def followed(self) -> Regressor:
        """Its average."""
        return self.averaged

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beside weights and optimiser."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["face_blocks"] = self.regressor.blocks.to_dict()
        checkpoint["camera"] = self.regressor.config.camera

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
        # The weights have the same shapes for both cameras.
        camera = checkpoint.get("camera", "perspective")
        if camera != self.regressor.config.camera:
            raise CheckpointError(
                f"this checkpoint was trained for the camera {camera!r}, the config asks for {self.regressor.config.camera!r}"
            )
        super().on_load_checkpoint(checkpoint)

    def _check_recipe(self, parts: set[str]) -> None:
        """Refuse the parts of a checkpoint if they are those of another step of the recipe."""
        own = {name.partition(".")[0] for name in self.state_dict()}
        if parts != own:
            raise CheckpointError(
                f"this checkpoint holds {', '.join(sorted(parts))}, and {type(self).__name__} has {', '.join(sorted(own))}: it is "
                "of another module, as step 1's is in step 2. Leave --ckpt_path out and start from its network with "
                "--model.init_args.run.initial_weights"
            )

    def on_validation_epoch_start(self) -> None:
        """Start new means."""
        self.averaged.eval()
        self._errors = ErrorMeans()

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Predict a batch and add its errors to the means."""
        assert self._errors is not None
        with torch.no_grad():
            coefficients = self.averaged(batch.image, batch.intrinsics)
            self._errors.add(validate_batch(self.decoder, coefficients, batch))

    def on_validation_epoch_end(self) -> None:
        """Log the means over all pictures, of all processes."""
        assert self._errors is not None
        values = self._errors.means()
        for name, value in values.items():
            self.log(f"val/{name}", value, prog_bar=name == "nme", sync_dist=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights as a safetensors checkpoint that :func:`recon.networks.checkpoint.load_regressor` reads."""
        return save_checkpoint(path, self.averaged, metrics, extra or {})

    def configure_optimizers(self) -> Any:
        """Optimiser and a schedule that advances every step."""
        optimiser = make_optimiser(self.regressor, self.optimiser)
        schedule = {"scheduler": make_scheduler(optimiser, self.optimiser), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}
