"""Trains a generator of depth maps against a discriminator: the cGAN of Pini et al. 2018, and pix2pix.

Real maps have the label 1 and made ones 0 for both; the paper of the former says the opposite in one place, and this in its
equations.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from losses.depth.adversarial import discriminator_objective, judged
from losses.depth.objective import DepthObjective
from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.map_depth import MapDepthConfig, MapDepthNetwork
from recon.networks.depth.pini import PiniDiscriminator
from recon.networks.depth.pix2pix import PatchDiscriminator
from recon.training.depth_batch import DepthBatch
from recon.training.depth_metrics import depth_metrics
from recon.training.depth_module import check_objective, map_network
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig, make_scheduler
from recon.training.single_network import SingleNetworkModule

_BETAS = (0.5, 0.999)
"""Of Adam in both papers."""


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Who judges, and how it learns.

    Attributes:
        kind: ``map`` sees the depth map alone, as Pini et al. have it; ``patches`` sees the picture, too, and judges patches of
            70 x 70 px, as pix2pix has it.
        rate: learning rate.

    Raises:
        ValueError: an unknown kind, or a rate that is none.
    """

    kind: Literal["map", "patches"] = "map"
    rate: float = 2e-4

    def __post_init__(self) -> None:
        if self.kind not in ("map", "patches"):
            raise ValueError(f"a discriminator of depth sees the map or patches, got {str(self.kind)[:40]!r}")
        if not 0.0 < self.rate < float("inf"):
            raise ValueError(f"discriminator.rate must be positive, got {self.rate}")


class DepthPairModule(SingleNetworkModule[MapDepthNetwork]):
    """Alternates steps of the generator, with the discriminator still, and of the discriminator.

    Where depth is not known both maps are -1, so that the discriminator cannot tell them apart by it. Optimisation is manual;
    Lightning counts the steps of both in ``max_steps``.

    Args:
        network: the generator; its code must lie in [-1, 1], so its coding is ``signed``.
        objective: the losses beside the discriminator's, in units of the code: 100 of L1 for pix2pix, lambda of L2 for Pini et al.
        discriminator: who judges.
        face_model: whose faces.
        optimiser: of the generator; always Adam with the papers' betas.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run for the generator to start from.

    Raises:
        ValueError: another coding.
        CheckpointError: the initial weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        network: MapDepthConfig,
        objective: DepthObjective,
        discriminator: DiscriminatorConfig | None = None,
        face_model: FaceModelConfig | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.0,
        initial_weights: str | None = None,
    ) -> None:
        if network.coding.kind != "signed":
            raise ValueError(
                f"a discriminator needs maps in [-1, 1]: set network.coding.kind to signed, not {network.coding.kind}"
            )
        made = map_network(network, initial_weights)
        super().__init__(made, optimiser or OptimiserConfig(rate=2e-4, schedule="constant"), average, "scaled_rmse_mm")
        self.automatic_optimization = False
        self.discriminator_config = discriminator or DiscriminatorConfig()
        check_objective(objective)
        self.objective, self.face_model = objective, face_model or FaceModelConfig()
        self.judge: nn.Module = (
            PiniDiscriminator(network.size) if self.discriminator_config.kind == "map" else PatchDiscriminator()
        )

    def judged(self, batch: DepthBatch, code: Float[Tensor, "b 1 h w"]) -> Tensor:
        """Logits of maps."""
        shown = torch.where(batch.known, code, -1.0)
        found: Tensor = self.judge(shown) if self.discriminator_config.kind == "map" else self.judge(batch.image, shown)
        return found

    def training_step(self, batch: DepthBatch, batch_idx: int) -> None:
        """A step of the generator, then one of the discriminator."""
        self.restore_random_state()
        generator_optimiser, judge_optimiser = self.optimizers()  # type: ignore[attr-defined]
        target = self.network.config.coding.encode(batch.depth_mm, batch.focal_sides)
        self.judge.requires_grad_(False)
        made = self.network(batch.image.contiguous(memory_format=torch.channels_last))
        terms = self.objective.terms(made, target, batch.known)
        terms["adversarial"] = judged(self.judged(batch, made), real=True).mean()
        generator_optimiser.zero_grad()
        self.manual_backward(self.counted_loss(terms, batch))
        generator_optimiser.step()
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self.update_average()
        self.judge.requires_grad_(True)
        loss = self.discriminator_loss(batch, target, made.detach())
        judge_optimiser.zero_grad()
        self.manual_backward(loss)
        judge_optimiser.step()
        self.log("loss/discriminator", loss.detach(), batch_size=len(batch))

    def discriminator_loss(
        self, batch: DepthBatch, target: Float[Tensor, "b 1 h w"], made: Float[Tensor, "b 1 h w"]
    ) -> Tensor:
        """BCE(D(real), 1) + BCE(D(made), 0)."""
        return discriminator_objective(self.judged(batch, target), self.judged(batch, made)).mean()

    def validation_step(self, batch: DepthBatch, batch_idx: int) -> None:
        """Add a batch's errors on the face."""
        with torch.no_grad():
            found_mm = self.averaged.depth_mm(batch.image, batch.focal_sides)
            self.add_metrics(depth_metrics(found_mm, batch.depth_mm, batch.face))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged generator, for :func:`recon.networks.depth.checkpoint.load_depth_network`."""
        return save_depth_network(path, self.averaged, metrics, extra)

    def configure_optimizers(self) -> Any:
        """Adam for both; the generator's with its schedule."""
        adam = torch.optim.Adam(self.network.parameters(), lr=self.optimiser.rate, betas=_BETAS)
        judge = torch.optim.Adam(self.judge.parameters(), lr=self.discriminator_config.rate, betas=_BETAS)
        schedule = {"scheduler": make_scheduler(adam, self.optimiser), "interval": "step"}
        return [adam, judge], [schedule]
