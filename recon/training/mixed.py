"""Step 2 of the paper's recipe: labelled faces with all losses, unlabelled photos with three, and a discriminator of shapes."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor

from losses.adversarial import discriminator_loss
from losses.shape import MM_PER_DM
from losses.total import LossWeights
from recon.networks.discriminator import ShapeDiscriminator, discriminator_vertices
from recon.networks.network_file import CheckpointError
from recon.parameters import FaceParameters
from recon.segmentation.segmenter import Segmenter
from recon.training.batch import TrainingBatch
from recon.training.embedding import EmbeddingConfig
from recon.training.module import FaceModelConfig, RegressorConfig, RegressorModule
from recon.training.run_config import RunConfig
from recon.training.schedule import OptimiserConfig
from recon.training.terms import LossNetworks

_MEAN = "critic.mean_dm"
_RUN = RunConfig()
_SAME_DM = 1e-3
"""A tenth of a millimetre: the same vertices of the same face."""


@dataclasses.dataclass(frozen=True)
class MixedBatch:
    """One step's pictures.

    Attributes:
        labelled: with coefficients.
        photos: without; ``None`` trains on labelled faces alone.
    """

    labelled: TrainingBatch
    photos: TrainingBatch | None = None

    def __len__(self) -> int:
        return len(self.labelled) + (len(self.photos) if self.photos is not None else 0)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MixedBatch:
        """The same batches on another device."""
        photos = None if self.photos is None else self.photos.to(device, non_blocking)
        return MixedBatch(self.labelled.to(device, non_blocking), photos)


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """The discriminator (WGAN-div, Wu et al. 2018).

    Attributes:
        points: vertices that it sees.
        region: where they lie.
        width: of its hidden layers.
        rate: learning rate.
        regressor_clip: largest norm of the regressor's gradient, in its steps against the discriminator; 0 does not clip.
        strength, power: k and p of the gradient penalty.
        every: regressor steps to one step of the discriminator.
        real: where real shapes come from: the batch's ``labels``, or the face model's ``prior`` for labelled photos whose
            coefficients are another model's. The prior gives identities; expressions are those that the regressor found,
            so that the discriminator judges the person alone.
    """

    points: int = 1024
    region: str = "face"
    width: int = 256
    rate: float = 1e-4
    regressor_clip: float = 1.0
    strength: float = 2.0
    power: float = 6.0
    every: int = 1
    real: Literal["labels", "prior"] = "labels"

    def __post_init__(self) -> None:
        if min(self.points, self.width, self.every) < 1:
            raise ValueError(
                f"critic.points, critic.width and critic.every must be at least 1, got {self.points}, {self.width}, {self.every}"
            )
        if not self.rate > 0.0 or self.regressor_clip < 0.0:
            raise ValueError(
                f"critic.rate must be positive and critic.regressor_clip 0 or more, got {self.rate} and {self.regressor_clip}; "
                "a regressor_clip of 0 does not clip"
            )


class MixedModule(RegressorModule):
    """Alternates steps of the regressor and of the discriminator.

    Optimisation is manual, so gradients are clipped here (``critic.regressor_clip``) and not by ``trainer.gradient_clip_val``; Lightning counts the steps
    of both optimisers in ``max_steps``.

    Args:
        regressor, face_model, weights, optimiser, embedding, run, segmenter: see :class:`RegressorModule`.
        critic: the discriminator.
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
        critic: CriticConfig | None = None,
    ) -> None:
        super().__init__(regressor, face_model, weights, optimiser, embedding, run, segmenter)
        self.automatic_optimization = False
        self.critic_config = critic or CriticConfig()
        model = self.decoder.model
        rows = discriminator_vertices(model, self.critic_config.points, self.critic_config.region)
        # Called critic because checkpoints hold that key.
        self.critic = ShapeDiscriminator(model.mean_shape[rows] / MM_PER_DM, width=self.critic_config.width)
        self._rows = rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also refuse a discriminator of other vertices.

        Raises:
            CheckpointError: with what to do instead.
        """
        super().on_load_checkpoint(checkpoint)
        own, found = (
            {n: v for n, v in s.items() if n.startswith("critic.")}
            for s in (self.state_dict(), checkpoint["state_dict"])
        )
        same = own.keys() == found.keys() and all(own[name].shape == found[name].shape for name in own)
        if not same or not torch.allclose(own[_MEAN].cpu(), found[_MEAN].cpu(), atol=_SAME_DM):
            raise CheckpointError(
                "the discriminator in this checkpoint sees other vertices of the face than the config's: an earlier version "
                "wrote it, which chose them otherwise, or critic.points, critic.region or critic.width differ. A run cannot go "
                "on with it: start step 2 anew, without --ckpt_path, from its network: --model.init_args.run.initial_weights"
            )

    def loss_networks(self) -> LossNetworks:
        """With the discriminator."""
        vertices = self._rows.to(self.device)
        return dataclasses.replace(super().loss_networks(), discriminator=self.critic, discriminator_vertices=vertices)

    def training_step(self, batch: MixedBatch, batch_idx: int) -> None:  # type: ignore[override]
        """A step of the regressor, then one of the discriminator."""
        self.restore_random_state()
        regressor_optimiser, discriminator_optimiser = self.optimizers()  # type: ignore[attr-defined]
        weights = self._weights_now()
        self.critic.requires_grad_(False)
        total, found = self._loss(batch.labelled, weights, self.loss_networks(), "labelled")
        if batch.photos is not None:
            total = total + self._loss(batch.photos, weights.for_photos(), self.loss_networks(), "photos")[0]
        regressor_optimiser.zero_grad()
        self.manual_backward(total)
        clip = self.critic_config.regressor_clip
        if clip:
            self.clip_gradients(regressor_optimiser, gradient_clip_val=clip, gradient_clip_algorithm="norm")  # type: ignore[arg-type]
        regressor_optimiser.step()
        schedule = self.lr_schedulers()
        schedule.step()  # type: ignore[union-attr]
        self.update_average()
        self.critic.requires_grad_(True)
        if self.weights.adversarial and self.batches_seen % self.critic_config.every == 0:
            loss = self.discriminator_step_loss(batch.labelled, found.detach())
            discriminator_optimiser.zero_grad()
            self.manual_backward(loss)
            discriminator_optimiser.step()
            self.log("loss/critic", loss.detach(), batch_size=len(batch.labelled))
        self.batches_seen += 1

    def discriminator_step_loss(self, batch: TrainingBatch, found: FaceParameters) -> Tensor:
        """Loss of the discriminator on real shapes and those that the regressor made of the batch.

        Raises:
            ValueError: real shapes should come from labels, and the batch has none.
        """
        model = self.decoder.model
        with torch.no_grad():
            identity, expression = batch.identity, batch.expression
            if self.critic_config.real == "prior":
                identity, expression = torch.randn_like(found.identity), found.expression
            if identity is None or expression is None:
                raise ValueError(
                    "the discriminator needs labelled faces: identity and expression of the batch are not known; set critic.real to "
                    "prior, or weights.adversarial to 0"
                )
            rows = self._rows.to(self.device)
            real = model.shape(identity, expression)[:, rows] / MM_PER_DM
            fake = model.shape(found.identity, found.expression)[:, rows] / MM_PER_DM
        mixing = torch.rand(len(real), device=real.device)
        with torch.autocast(self.device.type, enabled=False):
            config = self.critic_config
            return discriminator_loss(self.critic, real, fake, mixing, strength=config.strength, power=config.power)

    def configure_optimizers(self) -> Any:
        """The regressor's optimiser with its schedule, and the discriminator's Adam."""
        settings = super().configure_optimizers()
        discriminator = torch.optim.Adam(self.critic.parameters(), lr=self.critic_config.rate, betas=(0.5, 0.9))
        return [settings["optimizer"], discriminator], [settings["lr_scheduler"]]
